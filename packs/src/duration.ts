const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
] as const;
const UNIT_MS: Readonly<Record<string, number>> = Object.fromEntries(UNITS);

/** How lengths of time are written: in packs, declared objects, configurations and flags. */
const DURATION = /^(\d+(\.\d+)?(ms|[smhd]))+$/;

/** "250ms", "15s", "1.5h", "1h30m", "7d" → whole milliseconds. @returns undefined for anything else */
export function parseDuration(text: string): number | undefined {
  const written = text.trim();
  if (!DURATION.test(written)) return undefined;
  let ms = 0;
  for (const [, amount, unit = ''] of written.matchAll(/([\d.]+)(ms|[smhd])/g))
    ms += Number(amount) * (UNIT_MS[unit] ?? Number.NaN);
  return Number.isSafeInteger(Math.round(ms)) ? Math.round(ms) : undefined;
}

/** The shortest exact notation: 90000 → "90s", 3600000 → "1h". */
export function formatDuration(ms: number): string {
  const [unit, size] = UNITS.find(([, each]) => ms !== 0 && ms % each === 0) ?? ['ms', 1];
  return `${ms / size}${unit}`;
}
