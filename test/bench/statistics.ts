/** The value below which the given share (0…1) of the values lies: nearest rank. NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** To so many significant digits, as numbers are read by people. */
export function significant(value: number, digits = 3): number {
  return Number(value.toPrecision(digits));
}
