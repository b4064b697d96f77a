import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { every, type Repeated } from '../../every.ts';
import type { Logger } from '../../telemetry/logger.ts';
import { prove } from './proof.ts';
import { readSigner, type Signer, type SignerFiles } from './signer.ts';

const CHECK_MS = 10_000;

/** An authority whose files somebody else keeps, and replaces while the server runs. */
export interface GivenAuthority {
  /** @throws OpenlineError CONFIG_INVALID names the file, or what does not fit together */
  first(): Promise<Signer>;
  /** Looks at the files every ten seconds. What cannot be used is told once, and the one before holds on. */
  watch(log: Pick<Logger, 'error'>, changed: (signer: Signer) => Promise<void>): Repeated;
}

export interface GivenConfig {
  readonly directory: string;
  /** Of the server: the authority must be one that may sign for them. */
  readonly names: readonly string[];
}

export function createGivenAuthority({ now }: { now(): Date }, { directory, names }: GivenConfig): GivenAuthority {
  /** What the files held when they were taken. */
  let taken = '';

  async function read(): Promise<Signer> {
    try {
      const signer = await readSigner(readFiles(directory));
      await prove(signer, names, now());
      return signer;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : 'unknown';
      throw new OpenlineError('CONFIG_INVALID', `caDirectory: ${directory}: ${why}`, { cause });
    }
  }

  return {
    first() {
      taken = fingerprint(directory);
      return read();
    },
    watch: (log, changed) =>
      every(
        CHECK_MS,
        async () => {
          const found = fingerprint(directory);
          if (found === taken) return;
          await changed(await read());
          taken = found;
        },
        (error) => log.error({ err: error }, 'the given authority cannot be used; the one before holds on'),
      ),
  };
}

function readFiles(directory: string): SignerFiles {
  const read = (name: string) => readFileSync(join(directory, name), 'utf8');
  let rootsPem = '';
  try {
    rootsPem = read('ca.crt');
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
