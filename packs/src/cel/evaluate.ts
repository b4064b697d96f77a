import type { Environment } from '@marcbachmann/cel-js';
import { createCelBase, VARIABLES, type Variable } from './environment.ts';
import { type Prefilter, prefilterOf } from './prefilter.ts';

/** Values of the variables. A getter is asked only when the expression gets there. */
export type Context = { readonly [name in Variable]?: unknown };

/** @throws Error when a field is missing, or values do not go together */
export type Expression = (context: Context) => unknown;

let shared: Environment | undefined;

/** @param text was checked when its pack was parsed; @throws Error when it was not, and is none */
export function compileExpression(text: string): Expression {
  shared ??= createRuntime();
  return shared.parse(text);
}

/** One that is asked of many events. */
export function compileCondition(text: string): {
  readonly mayHold: Prefilter | undefined;
  readonly holds: Expression;
} {
  shared ??= createRuntime();
  const parsed = shared.parse(text);
  return { mayHold: prefilterOf(parsed.ast), holds: parsed };
}

function createRuntime(): Environment {
  const env = createCelBase();
  for (const [name, type] of Object.entries(VARIABLES)) env.registerVariable(name, type);
  return env;
}

/** @throws Error when it is neither true nor false */
export function truthOf(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw new TypeError(`this is ${kindOf(value)}, where true or false is needed`);
}

/** @throws Error when it is no finite number */
export function numberOf(value: unknown): number {
  const number = typeof value === 'bigint' ? Number(value) : value;
  if (typeof number === 'number' && Number.isFinite(number)) return number;
  throw new TypeError(`this is ${kindOf(value)}, where a number is needed`);
}

/** Exact, for keys. @throws Error when it cannot be written out */
export function keyOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value instanceof Date) return value.toISOString();
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  throw new TypeError(`this is ${kindOf(value)}, where text or a number is needed`);
}

/** For people: a number has at most two decimals, or three digits where it is small. @throws Error when it cannot be written out */
export function wordsOf(value: unknown): string {
  if (typeof value === 'number' && !Number.isInteger(value) && Number.isFinite(value)) {
    return String(Number(Math.abs(value) >= 0.1 ? value.toFixed(2) : value.toPrecision(3)));
  }
  return keyOf(value);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** CEL's integers are bigints, which JSON does not know. */
export function plainValue(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(plainValue);
  if (value instanceof Map) return plainValue(Object.fromEntries(value));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plainValue(each)]));
  }
  return value;
}
