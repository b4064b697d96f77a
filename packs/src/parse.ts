import { OpenlineError } from '@openline/proto/errors';
import type { Pack } from './pack.ts';

/**
 * Reads a pack, and checks everything that can be checked without running it.
 * @param fileName only for the positions in messages
 * @throws PackError PACK_INVALID with every problem found
 */
export function parsePack(_content: Uint8Array, _fileName: string): Pack {
  throw new OpenlineError('INTERNAL', 'not written yet');
}
