import { usageError } from '../failure.ts';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * "500ms", "30s", "1h30m", "7d".
 * @returns milliseconds, at least 1
 * @throws CliError REQUEST_INVALID
 */
export function parseDuration(text: string, what: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  const ms = Math.round(
    parts.reduce((sum, [, number, unit]) => sum + Number(number) * (UNIT_MS[unit ?? ''] ?? Number.NaN), 0),
  );
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text || !Number.isSafeInteger(ms) || ms < 1) {
    throw usageError(
      `${what} «${text}» is not a length of time`,
      'Write a number with its unit: 500ms, 30s, 1h30m, 7d.',
    );
  }
  return ms;
}
