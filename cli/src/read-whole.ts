import { createReadStream } from 'node:fs';
import { MAX_DECLARED_FILE_BYTES, MAX_PACK_BYTES, MAX_PARAMETERS_BYTES } from '@openline/proto/limits';

/** What files are read whole, how messages call them, and their bytes at most. */
export const FILES = {
  parameters: { what: 'the parameters of a run', maxBytes: MAX_PARAMETERS_BYTES },
  pack: { what: 'a pack', maxBytes: MAX_PACK_BYTES },
  tests: { what: 'the tests of a pack', maxBytes: 1024 * 1024 },
  declared: { what: 'a file of declared objects', maxBytes: MAX_DECLARED_FILE_BYTES },
  credentials: { what: 'a key, token, signature or certificate', maxBytes: 1024 * 1024 },
  contexts: { what: 'a file of contexts', maxBytes: 1024 * 1024 },
} as const;

/** Its message is what `fileProblem` makes of other errors: without the path, which the caller names. */
class FileTooLarge extends Error {
  constructor({ what, maxBytes }: (typeof FILES)[keyof typeof FILES]) {
    super(`it is larger than ${what} may be (${maxBytes / (1024 * 1024)} MiB)`);
  }
}

/**
 * A file, or what comes by a stream. What has no end (/dev/zero) ends at the limit.
 * @throws Error of the file system; FileTooLarge
 */
export async function readWhole(from: string | AsyncIterable<Uint8Array>, as: keyof typeof FILES): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of typeof from === 'string' ? createReadStream(from) : from) {
    bytes += chunk.length;
    if (bytes > FILES[as].maxBytes) throw new FileTooLarge(FILES[as]);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
