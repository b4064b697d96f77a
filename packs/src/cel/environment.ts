import { Environment, ParseError } from '@marcbachmann/cel-js';
import { compilePattern, MAX_PATTERN_CHARS } from '../regex.ts';
import { EventView, TrendView } from './views.ts';

/**
 * CEL as packs may use it: the language's own, numbers that mix (a sample's are doubles, literals often ints), `matches` by RE2, and a few
 * functions for texts.
 */

/** What an expression may speak of, and the CEL types of it. `settings` and `match` are known more closely where an expression is checked. */
export const VARIABLES = {
  event: 'Event',
  match: 'map',
  count: 'dyn',
  settings: 'dyn',
  agent: 'dyn',
  sample: 'dyn',
  trend: 'Trend',
  instance: 'string',
  state: 'string',
  diagnostic: 'dyn',
  i: 'int',
} as const;
export type Variable = keyof typeof VARIABLES;

const LIMITS = { maxAstNodes: 2000, maxDepth: 64, maxListElements: 200, maxMapEntries: 200, maxCallArguments: 16 };

/** The base of all environments. A clone of it may get more; it may not. */
export function createCelBase(): Environment {
  const env = new Environment({ homogeneousAggregateLiterals: false, enableOptionalTypes: true, limits: LIMITS });
  env.registerType('Event', { ctor: EventView, fields: EventView.fields });
  env.registerType('Trend', { ctor: TrendView, fields: TrendView.fields });
  registerNumbers(env);
  registerMatches(env);
  registerTexts(env);
  return env;
}

type Arithmetic = (a: number, b: number) => number;
const ARITHMETIC: readonly (readonly [operator: string, apply: Arithmetic])[] = [
  ['+', (a, b) => a + b],
  ['-', (a, b) => a - b],
  ['*', (a, b) => a * b],
  ['/', (a, b) => a / b],
  ['%', (a, b) => a % b],
];

function registerNumbers(env: Environment): void {
  for (const [operator, apply] of ARITHMETIC) {
    const handler = (a: number | bigint, b: number | bigint) => apply(Number(a), Number(b));
    env.registerOperator(`int ${operator} double: double`, handler);
    env.registerOperator(`double ${operator} int: double`, handler);
  }
  env.registerOperator('double % double: double', (a: number, b: number) => a % b);
  for (const type of ['int', 'double']) {
    env.registerFunction(`Trend.hours_to(${type}): double`, (trend: TrendView, limit: number | bigint) =>
      trend.hoursTo(Number(limit)),
    );
  }
}

/**
 * The library matches by JavaScript's own expressions, which can run away. A macro takes its place, of a type that no text has: macros are found
 * by name before types are known. The pattern is a literal, so that it is compiled once and its mistakes are found when the pack is read.
 */
function registerMatches(env: Environment): void {
  env.registerFunction('bool.matches(ast): bool', ({ args, receiver }: MacroCall) => {
    const [literal] = args;
    const pattern = literal?.op === 'value' ? literal.args : undefined;
    if (typeof pattern !== 'string') throw wrong(literal, 'matches() takes a pattern in quotes, not an expression');
    if (pattern.length > MAX_PATTERN_CHARS)
      throw wrong(literal, `a pattern has at most ${MAX_PATTERN_CHARS} characters`);
    const compiled = compiledAt(literal, pattern);
    return {
      typeCheck(checker: MacroChecker, _macro: unknown, context: unknown) {
        const type = checker.check(receiver, context);
        if (type.name !== 'string' && type.kind !== 'dyn') {
          throw wrong(receiver, `matches() is for text, not for ${type.name}`);
        }
        return checker.getType('bool');
      },
      evaluate(evaluator: MacroEvaluator, _macro: unknown, context: unknown) {
        const text = evaluator.run(receiver, context);
        if (typeof text !== 'string') throw new TypeError('matches() is for text');
        return compiled.test(text);
      },
    };
  });
}

interface MacroNode {
  readonly op: string;
  readonly args: unknown;
  readonly pos: number;
  readonly start: number;
  readonly end: number;
}
interface MacroCall {
  readonly args: readonly MacroNode[];
  readonly receiver: MacroNode;
}
interface MacroChecker {
  check(node: MacroNode, context: unknown): { readonly name: string; readonly kind: string };
  getType(name: string): unknown;
}
interface MacroEvaluator {
  run(node: MacroNode, context: unknown): unknown;
}

function compiledAt(node: MacroNode | undefined, pattern: string) {
  try {
    return compilePattern(pattern);
  } catch (error) {
    throw wrong(node, `no regular expression of RE2: ${error instanceof Error ? error.message : error}`);
  }
}

function wrong(node: MacroNode | undefined, message: string): ParseError {
  const at = { start: node?.start ?? 0, end: node?.end ?? 0 };
  return new ParseError({ code: 'openline', message, range: at });
}

function registerTexts(env: Environment): void {
  env.registerFunction('string(google.protobuf.Timestamp): string', (at: Date) => at.toISOString());
  for (const type of ['int', 'double']) {
    env.registerFunction(`format_bytes(${type}): string`, (n: number | bigint) => formatBytes(Number(n)));
    env.registerFunction(`round(${type}): double`, (n: number | bigint) => Math.round(Number(n)));
  }
  env.registerFunction('round(double, int): double', (n: number, digits: bigint) => {
    const scale = 10 ** Math.min(Math.max(Number(digits), 0), 9);
    return Math.round(n * scale) / scale;
  });
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** "1.5 GiB" */
function formatBytes(bytes: number): string {
  const power = Math.min(Math.max(Math.floor(Math.log2(Math.abs(bytes) || 1) / 10), 0), UNITS.length - 1);
  const value = bytes / 1024 ** power;
  return `${Math.abs(value) >= 100 || power === 0 ? Math.round(value) : value.toFixed(1)} ${UNITS[power]}`;
}
