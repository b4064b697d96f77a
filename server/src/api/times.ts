/** 0 stands for "not yet" and "never". */
export function unixMs(date: Date | undefined): bigint {
  return date === undefined ? 0n : BigInt(date.getTime());
}
