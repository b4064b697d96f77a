import { createHash } from 'node:crypto';

/** SHA-256 of the pack's bytes: its address everywhere. 32 bytes. */
export function digestOf(content: Uint8Array): Buffer {
  return createHash('sha256').update(content).digest();
}

const NUMBER = '(?:0|[1-9]\\d*)';
const PRERELEASE_PART = `(?:${NUMBER}|\\d*[A-Za-z-][0-9A-Za-z-]*)`;
const VERSION = new RegExp(
  `^(${NUMBER})\\.(${NUMBER})\\.(${NUMBER})(?:-(${PRERELEASE_PART}(?:\\.${PRERELEASE_PART})*))?(?:\\+[0-9A-Za-z-]+(?:\\.[0-9A-Za-z-]+)*)?$`,
);
const MAX_VERSION_CHARS = 64;

/** Semantic version 2.0.0, at most 64 characters. */
export function isVersion(text: string): boolean {
  return text.length <= MAX_VERSION_CHARS && VERSION.test(text);
}

/**
 * The precedence of semver.org, section 11; build metadata does not count.
 * @returns < 0 when `a` is older, 0 when equal, > 0 when newer
 * @throws RangeError when either is no semantic version (ask `isVersion` first)
 */
export function compareVersions(a: string, b: string): number {
  const left = split(a);
  const right = split(b);
  for (let i = 0; i < 3; i++) {
    const order = compareNumbers(left.core[i] ?? '0', right.core[i] ?? '0');
    if (order !== 0) return order;
  }
  return comparePrereleases(left.prerelease, right.prerelease);
}

function split(text: string): { core: string[]; prerelease: string[] } {
  const match = text.length <= MAX_VERSION_CHARS ? VERSION.exec(text) : null;
  if (match === null) throw new RangeError(`'${text}' is no semantic version`);
  return { core: match.slice(1, 4), prerelease: match[4]?.split('.') ?? [] };
}

function comparePrereleases(a: readonly string[], b: readonly string[]): number {
  // A release is newer than its own prereleases.
  if (a.length === 0 || b.length === 0) return b.length - a.length;
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const left = a[i];
    const right = b[i];
    if (left === undefined || right === undefined) return a.length - b.length;
    const order = compareIdentifiers(left, right);
    if (order !== 0) return order;
  }
  return 0;
}

function compareIdentifiers(a: string, b: string): number {
  const aIsNumber = /^\d+$/.test(a);
  const bIsNumber = /^\d+$/.test(b);
  if (aIsNumber && bIsNumber) return compareNumbers(a, b);
  if (aIsNumber !== bIsNumber) return aIsNumber ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

/** As text, without leading zeros: a date of twenty digits is larger than a double can tell apart. */
function compareNumbers(a: string, b: string): number {
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
}
