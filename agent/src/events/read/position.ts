import type { Position } from '../source.ts';

/**
 * A position that a source itself once wrote, perhaps another version of it.
 * @param parse undefined: this is none
 * @returns undefined: there is none that can be used
 */
export function decodePosition<T>(
  position: Position | undefined,
  parse: (value: Readonly<Record<string, unknown>>) => T | undefined,
): T | undefined {
  if (position === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(position);
    return isObject(value) ? parse(value) : undefined;
  } catch {
    return undefined;
  }
}

/** Said as lost when `decodePosition` finds none in a position. */
export const POSITION_UNREADABLE = 'where it was read up to is not known any more';

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
