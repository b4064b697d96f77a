import { OpenlineError } from '@openline/proto/errors';
import { didYouMean } from '@openline/proto/suggest';
import type { ErrorObject } from 'ajv/dist/2020.js';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { FORMATS } from './formats.ts';
import type { PackTask } from './pack.ts';
import { oneOf } from './read.ts';
import { compilePattern, DEFAULT_PATTERN_MAX_LENGTH } from './regex.ts';

/** The keywords of a JSON Schema that are looked at by name. */
export interface Schema {
  readonly type?: unknown;
  readonly default?: unknown;
  readonly pattern?: unknown;
  readonly properties?: unknown;
  readonly required?: unknown;
  readonly items?: unknown;
}

const MAX_VALUE_DEPTH = 32;
const SHOWN_PROBLEMS = 8;

/** A parameter's check: undefined when the value fits, else what was expected. May fill nested defaults into `value`. */
type Check = (value: unknown) => string | undefined;

interface CompiledParameter {
  readonly required: boolean;
  readonly fallback: unknown;
  readonly check: Check;
}

/**
 * The check of a task's parameters, compiled at its first use: an agent holds many tasks and runs few. It fills defaults in and never
 * changes its argument.
 * @returns a function that throws OpenlineError PARAMETERS_INVALID, naming each parameter and what was expected, never a value
 */
export function compileParameters(task: Pick<PackTask, 'parametersSchema'>): ParameterCheck {
  let compiled: ReadonlyMap<string, CompiledParameter> | undefined;
  return (value, later = []) => {
    compiled ??= compileAll(task.parametersSchema);
    return validate(compiled, value, later);
  };
}

/** @param later parameters whose value is not known yet: they count as given, and get no default */
export type ParameterCheck = (value: unknown, later?: readonly string[]) => Record<string, unknown>;

function compileAll(parametersSchema: Schema): ReadonlyMap<string, CompiledParameter> {
  const { properties, required } = declared(parametersSchema);
  const compileCheck = checkCompiler();
  const compiled = new Map<string, CompiledParameter>();
  for (const [name, schema] of Object.entries(properties)) {
    compiled.set(name, {
      required: required.includes(name),
      fallback: schema.default,
      check: compileCheck(schema),
    });
  }
  return compiled;
}

/** The parameters that a task's schema declares. */
export function declared(parametersSchema: Schema): {
  properties: Readonly<Record<string, Schema>>;
  required: readonly string[];
} {
  const { properties, required } = parametersSchema;
  const schemas: Record<string, Schema> = {};
  for (const [name, schema] of Object.entries(isRecord(properties) ? properties : {})) {
    if (isRecord(schema)) schemas[name] = schema;
  }
  return {
    properties: schemas,
    required: Array.isArray(required) ? required.filter((n) => typeof n === 'string') : [],
  };
}

function validate(
  compiled: ReadonlyMap<string, CompiledParameter>,
  value: unknown,
  later: readonly string[],
): Record<string, unknown> {
  if (!isRecord(value)) throw invalid(['the parameters must be an object']);
  const problems: string[] = [];
  const result: Record<string, unknown> = {};
  for (const name of new Set([...Object.keys(value), ...later])) {
    if (!compiled.has(name)) problems.push(unknownParameter(name, [...compiled.keys()]));
  }
  for (const [name, parameter] of compiled) {
    const given = Object.hasOwn(value, name) ? value[name] : undefined;
    if (later.includes(name)) {
      if (given !== undefined)
        problems.push(`parameter '${name}' is given twice: as a value, and as one of the target`);
      continue;
    }
    if (given === undefined) {
      if (parameter.required) problems.push(`parameter '${name}' is missing`);
      else if (parameter.fallback !== undefined) result[name] = structuredClone(parameter.fallback);
      continue;
    }
    const unfit = unfitForProcess(given);
    if (unfit !== undefined) {
      problems.push(`parameter '${name}' ${unfit}`);
      continue;
    }
    // A copy, because ajv writes nested defaults into what it checks.
    const own = typeof given === 'object' ? structuredClone(given) : given;
    const problem = parameter.check(own);
    if (problem === undefined) result[name] = own;
    else problems.push(`parameter '${name}'${problem}`);
  }
  if (problems.length > 0) throw invalid(problems);
  return result;
}

export function unknownParameter(name: string, known: readonly string[]): string {
  const shown = name.length > 64 ? `${name.slice(0, 64)}…` : name;
  if (known.length === 0) return `there is no parameter '${shown}'; the task takes none`;
  return `there is no parameter '${shown}'${didYouMean(name, known) || `; there is ${known.join(', ')}`}`;
}

export function invalid(problems: readonly string[]): OpenlineError {
  const shown = problems.slice(0, SHOWN_PROBLEMS);
  if (problems.length > shown.length) shown.push(`and ${problems.length - shown.length} more`);
  return new OpenlineError('PARAMETERS_INVALID', shown.join('; '));
}

/** What no schema can allow, because the operating system cannot hand it to a process unchanged. */
function unfitForProcess(value: unknown, depth = 0): string | undefined {
  if (typeof value === 'string') {
    if (value.includes('\0')) return 'contains a NUL character, which cannot be given to a process';
    return value.isWellFormed() ? undefined : 'contains half of a surrogate pair, which is no Unicode text';
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if (depth >= MAX_VALUE_DEPTH) return `is nested more than ${MAX_VALUE_DEPTH} deep`;
  for (const [key, item] of Object.entries(value)) {
    const unfit = unfitForProcess(item, depth + 1) ?? (Array.isArray(value) ? undefined : unfitForProcess(key));
    if (unfit !== undefined) return unfit;
  }
  return undefined;
}

/** One ajv for all parameters of a task. Schemas were checked when the pack was parsed, so ajv's own meta-schemas (8 MB) are not compiled. */
function checkCompiler(): (schema: Schema) => Check {
  const ajv = new Ajv2020({
    meta: false,
    validateSchema: false,
    addUsedSchema: false,
    // schema.ts is stricter than ajv's own strict mode.
    strict: false,
    useDefaults: true,
    unicodeRegExp: true,
    logger: false,
    // `code` is for schemas compiled to files, which these are not.
    code: { regExp: Object.assign((pattern: string) => compilePattern(pattern), { code: '' }) },
  });
  for (const [name, { test }] of Object.entries(FORMATS)) ajv.addFormat(name, { type: 'string', validate: test });
  return (schema) => {
    const validator = ajv.compile(bounded(schema));
    return (value) => {
      if (validator(value)) return undefined;
      const error = validator.errors?.[0];
      return error === undefined ? ' does not fit its schema' : sentence(error);
    };
  };
}

/** What every schema implies: text beside a pattern has an end, and an integer is one that JSON can carry exactly. */
function bounded(schema: Schema): Schema & Readonly<Record<string, unknown>> {
  const { type, properties, items } = schema;
  if (type === 'string' && 'pattern' in schema) return { maxLength: DEFAULT_PATTERN_MAX_LENGTH, ...schema };
  if (type === 'integer') return { minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER, ...schema };
  if (type === 'array' && isRecord(items)) return { ...schema, items: bounded(items) };
  if (type === 'object' && isRecord(properties)) {
    const inner = Object.entries(properties).map(([name, p]) => [name, isRecord(p) ? bounded(p) : p]);
    return { ...schema, properties: Object.fromEntries(inner) };
  }
  return { ...schema };
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'text (a JSON string)',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list (a JSON array)',
  object: 'a JSON object',
};

function sentence(error: ErrorObject): string {
  const at = error.instancePath === '' ? '' : ` at ${error.instancePath}`;
  return `${at} ${expectation(error.keyword, error.params)}`;
}

/** The `params` of ajv's errors, for the keywords of schema.ts. */
interface ErrorParams {
  readonly limit?: unknown;
  readonly type?: unknown;
  readonly allowedValues?: unknown;
  readonly allowedValue?: unknown;
  readonly pattern?: unknown;
  readonly format?: unknown;
  readonly multipleOf?: unknown;
  readonly missingProperty?: unknown;
  readonly additionalProperty?: unknown;
}

function expectation(keyword: string, params: ErrorParams): string {
  const limit = `${params.limit}`;
  switch (keyword) {
    case 'type':
      return `must be ${TYPE_NAMES[`${params.type}`] ?? params.type}`;
    case 'enum':
      return `must be ${oneOf(Array.isArray(params.allowedValues) ? params.allowedValues : [])}`;
    case 'const':
      return `must be ${oneOf([params.allowedValue])}`;
    case 'pattern':
      return `must match ${params.pattern}`;
    case 'format':
      return `must be ${FORMATS[formatNamed(params.format)].names}`;
    case 'minLength':
      return `must have at least ${plural(limit, 'character')}`;
    case 'maxLength':
      return `must have at most ${plural(limit, 'character')}`;
    case 'minimum':
      return `must be at least ${limit}`;
    case 'maximum':
      return `must be at most ${limit}`;
    case 'exclusiveMinimum':
      return `must be above ${limit}`;
    case 'exclusiveMaximum':
      return `must be below ${limit}`;
    case 'multipleOf':
      return `must be a multiple of ${params.multipleOf}`;
    case 'minItems':
      return `must have at least ${plural(limit, 'item')}`;
    case 'maxItems':
      return `must have at most ${plural(limit, 'item')}`;
    case 'uniqueItems':
      return 'must not have the same item twice';
    case 'required':
      return `lacks '${params.missingProperty}'`;
    case 'additionalProperties':
      return `has the unknown property '${params.additionalProperty}'`;
    default:
      return `does not satisfy '${keyword}'`;
  }
}

function formatNamed(name: unknown): keyof typeof FORMATS {
  return Object.keys(FORMATS).find((known): known is keyof typeof FORMATS => known === name) ?? 'uri';
}

function plural(count: string, noun: string): string {
  return `${count} ${noun}${count === '1' ? '' : 's'}`;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
