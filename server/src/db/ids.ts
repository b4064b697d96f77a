import { randomFillSync } from 'node:crypto';

export interface IdSources {
  /** Unix time, milliseconds. */
  nowMs(): number;
  fillRandom(bytes: Uint8Array): void;
}

/**
 * Makes UUIDs of version 7 (RFC 9562): they sort by time, and within one process strictly, also within a millisecond and
 * when the clock steps back (its method 1: a 12-bit counter after the time; on overflow the time runs ahead by one).
 */
export function createIdSource({ nowMs, fillRandom }: IdSources): () => string {
  const bytes = Buffer.alloc(16);
  let lastMs = -1;
  let counter = 0;
  return () => {
    fillRandom(bytes);
    const now = nowMs();
    if (now > lastMs) {
      lastMs = now;
      // Half of the counter's range stays free for the ids of the same millisecond.
      counter = bytes.readUInt16BE(6) & 0x7ff;
    } else {
      counter += 1;
      if (counter > 0xfff) {
        lastMs += 1;
        counter = 0;
      }
    }
    bytes.writeUIntBE(lastMs, 0, 6);
    bytes.writeUInt16BE(0x7000 | counter, 6);
    bytes.writeUInt8(0x80 | (bytes.readUInt8(8) & 0x3f), 8);
    const hex = bytes.toString('hex');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  };
}

/** A new id for anything that is stored: sorts by the time it was made. */
export const newId = createIdSource({ nowMs: Date.now, fillRandom: (bytes) => randomFillSync(bytes) });
