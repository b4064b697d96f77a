import { compilePattern } from '../regex.ts';

/**
 * Whether what came is what was expected, by the fields that the expectation gives. A text between slashes is a pattern.
 * @returns what differs, one line each: "path: expected …, got …"; empty when it fits
 */
export function differences(expected: unknown, actual: unknown, path: string): string[] {
  if (isRecord(expected)) {
    if (!isRecord(actual)) return [`${path}: expected ${show(expected)}, got ${show(actual)}`];
    return Object.entries(expected).flatMap(([key, each]) => differences(each, actual[key], `${path}.${key}`));
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual)) return [`${path}: expected ${show(expected)}, got ${show(actual)}`];
    const found = expected.flatMap((each, i) =>
      i < actual.length
        ? differences(each, actual[i], `${path}[${i}]`)
        : [`${path}[${i}]: expected ${show(each)}, got nothing`],
    );
    const more = actual
      .slice(expected.length)
      .map((each, i) => `${path}[${expected.length + i}]: expected nothing, got ${show(each)}`);
    return [...found, ...more];
  }
  if (matches(expected, actual)) return [];
  return [`${path}: expected ${show(expected)}, got ${show(actual)}`];
}

function matches(expected: unknown, actual: unknown): boolean {
  if (expected === null) return actual === null || actual === undefined;
  const pattern = typeof expected === 'string' ? patternOf(expected) : undefined;
  if (pattern === undefined) return expected === actual;
  return typeof actual === 'string' && compilePattern(pattern).test(actual);
}

/** "/…/" */
export function patternOf(expected: string): string | undefined {
  return /^\/.+\/$/s.test(expected) ? expected.slice(1, -1) : undefined;
}

const MAX_SHOWN_CHARS = 300;

function show(value: unknown): string {
  if (value === undefined) return 'nothing';
  const text = JSON.stringify(value);
  return text.length <= MAX_SHOWN_CHARS ? text : `${text.slice(0, MAX_SHOWN_CHARS)}…`;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
