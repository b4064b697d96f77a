import { formatDuration } from '@openline/packs/duration';
import { OpenlineError } from '@openline/proto/errors';
import { MAX_PARAMETERS_BYTES, MAX_TTL_MS } from '@openline/proto/limits';
import { PROPERTY_FORMS, parseProperty } from '@openline/proto/properties';
import { z } from 'zod';
import { isLabelKey } from '../agents/selector.ts';
import { MAX_REFERENCES } from '../runs/wire.ts';

/** The pieces that requests are read with, once, at the door. */

/** @throws OpenlineError REQUEST_INVALID naming each field and what is wrong with it, never its value */
export function readRequest<Schema extends z.ZodType>(schema: Schema, request: unknown): z.output<Schema> {
  const result = schema.safeParse(request);
  if (result.success) return result.data;
  const problems = result.error.issues.map(({ path, message }) => `${path.join('.') || 'the request'}: ${message}`);
  throw new OpenlineError('REQUEST_INVALID', problems.join('; '));
}

/** PostgreSQL has no NUL in text. */
export function text(maxChars: number) {
  return z
    .string()
    .max(maxChars, `longer than ${maxChars} characters`)
    .refine((value) => !value.includes('\0'), 'contains a NUL character');
}

export function name(what: string, maxChars = 256) {
  return text(maxChars).refine((value) => value !== '', `is empty; ${what}`);
}

export const runId = name('give the id of a run', 64);
export const agentRef = name('give the id or name of an agent');

/** "" means that none was given. */
export const idempotencyKey = text(200).transform((value) => (value === '' ? undefined : value));

/** 0 means that none was given. */
export const optionalMs = z
  .union([z.number().int().nonnegative(), z.bigint()])
  .refine((value) => value <= Number.MAX_SAFE_INTEGER, 'too large')
  .transform((value) => (Number(value) === 0 ? undefined : Number(value)));

export const ttlMs = optionalMs.refine(
  (value) => (value ?? 0) <= MAX_TTL_MS,
  `longer than ${formatDuration(MAX_TTL_MS)}`,
);

export const byteOffset = z
  .bigint()
  .refine((value) => value <= BigInt(Number.MAX_SAFE_INTEGER), 'too large')
  .transform(Number);

/** @param fallback when it is 0 */
export function pageLimit(fallback = 50, max = 1000) {
  return z
    .number()
    .int()
    .max(max, `more than ${max}`)
    .transform((value) => (value === 0 ? fallback : value));
}

/** Of a list whose entries are numbered; undefined: the first page. */
export const seqToken = text(32)
  .regex(/^[0-9]{0,15}$/, 'not one that was given in an answer')
  .transform((token) => (token === '' ? undefined : Number(token)));

export const labels = z
  .record(z.string(), text(253))
  .refine((map) => Object.keys(map).length <= 64, 'more than 64 labels')
  .refine(
    (map) => Object.keys(map).every((key) => key.length <= 253 && isLabelKey(key)),
    'no target expression can name each of them: keys are up to 253 of A-Z, a-z, 0-9 and ._/-, and neither name nor id',
  );

const MAX_DEPTH = 64;

/** A JSON object; "" means {}. */
export const parametersJson = z.string().transform((json, context) => {
  const fail = (message: string) => {
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  };
  if (Buffer.byteLength(json) > MAX_PARAMETERS_BYTES) return fail(`more than ${MAX_PARAMETERS_BYTES} bytes`);
  if (json === '') return {};
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return fail('not a JSON object');
    return deeperThan(value, MAX_DEPTH) ? fail(`nested deeper than ${MAX_DEPTH} levels`) : value;
  } catch (error) {
    // The parser's own message quotes what it read, which may be a secret.
    const position = error instanceof Error ? /at position \d+/.exec(error.message)?.[0] : undefined;
    return fail(`not JSON${position === undefined ? '' : ` ${position}`}`);
  }
});

/** Name of a parameter → property of the target; none: undefined. */
export const parametersFrom = z
  .record(
    text(64),
    z
      .string()
      .refine((reference) => parseProperty(reference) !== undefined, `a property of the target is ${PROPERTY_FORMS}`),
  )
  .refine((map) => Object.keys(map).length <= MAX_REFERENCES, `more than ${MAX_REFERENCES}`)
  .transform((map) => (Object.keys(map).length === 0 ? undefined : map));

/** Level by level and not by recursion, which is what a deep document breaks. */
function deeperThan(root: object, limit: number): boolean {
  let level: object[] = [root];
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > limit) return true;
    level = level.flatMap((parent) =>
      Object.values(parent).filter((child): child is object => typeof child === 'object' && child !== null),
    );
  }
  return false;
}
