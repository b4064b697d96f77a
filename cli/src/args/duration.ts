import { parseDuration as parse } from '@openline/packs/duration';
import { usageError } from '../failure.ts';

/**
 * "500ms", "30s", "1h30m", "7d".
 * @returns milliseconds, at least 1
 * @param doNext what the error advises
 * @throws CliError REQUEST_INVALID
 */
export function parseDuration(
  text: string,
  what: string,
  doNext = 'Write a number with its unit: 500ms, 30s, 1h30m, 7d.',
): number {
  const ms = parse(text);
  if (ms !== undefined && ms > 0) return ms;
  throw usageError(`${what} «${text}» is not a length of time`, doNext);
}
