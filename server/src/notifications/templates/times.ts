const formats = new Map<string, Intl.DateTimeFormat>();

/** "2026-11-22 23:31:05 UTC", in the zone: the same in every locale, and it sorts. */
export function formatTime(date: Date, timeZone: string): string {
  let format = formats.get(timeZone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('sv-SE', {
      timeZone,
      dateStyle: 'short',
      timeStyle: 'medium',
    });
    formats.set(timeZone, format);
  }
  return `${format.format(date)} ${timeZone}`;
}

/** 90061000 → "1 d 1 h"; the two largest units. */
export function durationWords(ms: number): string {
  let seconds = Math.max(0, Math.round(ms / 1000));
  const parts: string[] = [];
  for (const [unit, size] of [
    ['d', 86_400],
    ['h', 3_600],
    ['min', 60],
    ['s', 1],
  ] as const) {
    const count = Math.floor(seconds / size);
    if (count > 0) parts.push(`${count} ${unit}`);
    seconds -= count * size;
  }
  return parts.slice(0, 2).join(' ') || '0 s';
}
