const UNITS = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
] as const;

/** "3m ago", "in 2h"; clocks that disagree by a little give "now". */
export function formatAge(atMs: number | null, nowMs: number): string {
  if (atMs === null) return '-';
  const seconds = Math.round((nowMs - atMs) / 1000);
  if (Math.abs(seconds) < 1) return 'now';
  const text = coarse(Math.abs(seconds));
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

/** The largest unit, and the next one while the number is small: 45s, 1m30s, 3h10m, 12d. */
function coarse(seconds: number): string {
  for (const [index, [unit, size]] of UNITS.entries()) {
    if (seconds < size) continue;
    const whole = Math.floor(seconds / size);
    const next = UNITS[index + 1];
    const rest = next === undefined ? 0 : Math.floor((seconds % size) / next[1]);
    return whole < 10 && next !== undefined && rest > 0 ? `${whole}${unit}${rest}${next[0]}` : `${whole}${unit}`;
  }
  return '0s';
}

/** 8ms, 1.2s, 1m05s, 2h03m */
export function formatDuration(ms: number): string {
  if (ms < 0) return '0ms';
  if (ms < 1000) return `${Math.round(ms)}ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  const two = (n: number) => String(n).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  return `${Math.floor(seconds / 3600)}h${two(Math.floor((seconds % 3600) / 60))}m`;
}

/** Local wall clock with milliseconds, for the wire view. */
export function formatClock(unixUs: number): string {
  const date = new Date(unixUs / 1000);
  const two = (n: number) => String(n).padStart(2, '0');
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, '0')}`;
}
