/** Numbers of the protocol that are counts, sizes and times: all far below 2^53. */
export function number(value: bigint): number {
  return Number(value);
}

/** @returns null for 0, which means "has not happened" */
export function iso(unixMs: bigint): string | null {
  return unixMs === 0n ? null : new Date(Number(unixMs)).toISOString();
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

export function json(text: string, otherwise: unknown): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return otherwise;
  }
}

/** Unix milliseconds of an ISO time of a view. */
export function at(time: string | null): number | null {
  return time === null ? null : Date.parse(time);
}
