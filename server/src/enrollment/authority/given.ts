import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { every, type Repeated } from '../../every.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { readSigner, type Signer } from './signer.ts';

const CHECK_MS = 10_000;

/** As cert-manager and Secrets of the type kubernetes.io/tls name them. */
interface Files {
  readonly certificatesPem: string;
  readonly keyPem: string;
  readonly rootsPem: string | undefined;
}

/** @throws OpenlineError CONFIG_INVALID names the file, or what does not fit together */
export async function readGiven(directory: string): Promise<Signer> {
  try {
    return await readSigner(readFiles(directory));
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'unknown';
    throw new OpenlineError('CONFIG_INVALID', `caDirectory: ${directory}: ${why}`, { cause });
  }
}

/** Looks at the files every ten seconds: they are replaced while the server runs. What cannot be used is told once, and the old one holds on. */
export function watchGiven(
  directory: string,
  log: Pick<Logger, 'error'>,
  changed: (signer: Signer) => Promise<void>,
): Repeated {
  let last = fingerprint(directory);
  return every(
    CHECK_MS,
    async () => {
      const now = fingerprint(directory);
      if (now === last) return;
      await changed(await readGiven(directory));
      last = now;
    },
    (error) => log.error({ err: error }, 'the given authority cannot be used; the one before holds on'),
  );
}

function readFiles(directory: string): Files {
  const read = (name: string) => readFileSync(join(directory, name), 'utf8');
  let rootsPem: string | undefined;
  try {
    // Empty where cert-manager's issuer knows no root.
    rootsPem = read('ca.crt').trim() || undefined;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
  return { certificatesPem: read('tls.crt'), keyPem: read('tls.key'), rootsPem };
}

function fingerprint(directory: string): string {
  try {
    return JSON.stringify(readFiles(directory));
  } catch (error) {
    return String(error);
  }
}
