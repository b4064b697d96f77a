import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { generateKeyPair, type PublicKey, parsePublicKey, parseSecretKey, publicKeyText } from '@openline/packs';
import { OpenlineError } from '@openline/proto/errors';
import { writeFileAtomic } from '../files.ts';
import type { StateStore } from '../state/state.ts';
import type { Logger } from '../telemetry/logger.ts';

/** The keys whose packs are accepted, here and by every agent that enrols. */
export interface TrustedKeys {
  keys(): readonly PublicKey[];
  /** The texts of the files: what an agent is given at its enrolment. */
  texts(): readonly string[];
  close(): void;
}

/** Relative to the data directory. */
export const TRUSTED_KEYS_DIR = 'trusted-keys';
const CHECK_MS = 10_000;

/**
 * Reads `*.pub` in these directories, and again every ten seconds: keys are files that people (or Kubernetes) put there. Once running,
 * a file that cannot be read is logged, and what held before holds on.
 * @throws OpenlineError CONFIG_INVALID a key cannot be read at the start; names the file
 */
export function openTrustedKeys(directories: readonly string[], { log }: { log: Logger }): TrustedKeys {
  let current = readKeys(directories);
  let complaint = '';
  const timer = setInterval(() => {
    try {
      const next = readKeys(directories);
      if (next.fingerprint !== current.fingerprint) {
        log.info({ keyIds: next.keys.map(({ keyId }) => keyId) }, 'the trusted pack keys have changed');
      }
      current = next;
      complaint = '';
    } catch (error) {
      const message = error instanceof Error ? error.message : 'unknown';
      if (message !== complaint)
        log.error({ err: error }, 'the trusted pack keys cannot be read; the old ones hold on');
      complaint = message;
    }
  }, CHECK_MS).unref();
  return { keys: () => current.keys, texts: () => current.texts, close: () => clearInterval(timer) };
}

function readKeys(directories: readonly string[]) {
  const files = directories.flatMap((directory) => {
    try {
      const names = readdirSync(directory).filter((name) => name.endsWith('.pub'));
      return names.sort().map((name) => join(directory, name));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : 'unknown';
      throw new OpenlineError('CONFIG_INVALID', `trusted pack keys cannot be read: ${reason}`, { cause });
    }
  });
  const texts = files.map((file) => readFileSync(file, 'utf8'));
  const keys = texts.map((text, i) => {
    try {
      return parsePublicKey(text);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : 'unknown';
      throw new OpenlineError('CONFIG_INVALID', `${files[i]}: ${reason}`, { cause });
    }
  });
  return { keys, texts, fingerprint: texts.join('\0') };
}

/**
 * At the first start: a key pair of this installation, so that `openline packs push` works with no set-up. Whoever signs elsewhere
 * removes `keys/packs.key`, and it does not come back; in a Secret, an empty text does the same.
 */
export async function ensurePackKey(state: StateStore, dataDir: string): Promise<void> {
  const trusted = join(dataDir, TRUSTED_KEYS_DIR);
  if (existsSync(trusted)) return;
  const comment = 'packs of this Openline server';
  const secretKey = await state.update('packKey', (kept) => kept ?? generateKeyPair(comment).secretKey);
  // Moved into place whole: what a crash leaves behind is made anew.
  const half = `${trusted}.new`;
  mkdirSync(half, { recursive: true, mode: 0o755 });
  if (secretKey.trim() !== '')
    writeFileAtomic(join(half, 'site.pub'), publicKeyText(parseSecretKey(secretKey), comment), 0o644);
  renameSync(half, trusted);
}
