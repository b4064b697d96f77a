/**
 * The same text as `Date.toISOString`, for which V8 loads its library for time zones, three quarters of a megabyte in every process
 * (docs/performance.md).
 * @throws RangeError when it is no time
 */
export function rfc3339(unixMs: number): string {
  const at = new Date(unixMs);
  const year = at.getUTCFullYear();
  // Years that need a sign, and what is no time, are left to V8.
  if (!(year >= 0 && year <= 9999)) return at.toISOString();
  const date = `${digits(year, 4)}-${digits(at.getUTCMonth() + 1, 2)}-${digits(at.getUTCDate(), 2)}`;
  const time = `${digits(at.getUTCHours(), 2)}:${digits(at.getUTCMinutes(), 2)}:${digits(at.getUTCSeconds(), 2)}`;
  return `${date}T${time}.${digits(at.getUTCMilliseconds(), 3)}Z`;
}

const digits = (value: number, width: number): string => String(value).padStart(width, '0');
