import { resolve } from 'node:path';
import { PROPERTY_FORMS, parseProperty } from '@openline/proto/properties';
import { CliError, fileProblem, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { readWhole } from '../read-whole.ts';

export type JsonSchema = Readonly<Record<string, unknown>>;
export type Parameters = Record<string, unknown>;

/** "k=v", split at the first "=". @throws CliError REQUEST_INVALID; the message never holds the value */
export function parsePair(text: string, option: string): { key: string; value: string } {
  const at = text.indexOf('=');
  if (at <= 0) throw usageError(`${option} wants NAME=VALUE, and there is no name before a «=»`);
  return { key: text.slice(0, at), value: text.slice(at + 1) };
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export interface ParameterOptions {
  /** k=v, in the order given. */
  readonly param?: readonly string[] | undefined;
  /** k=path: the file's text is the value. */
  readonly paramFile?: readonly string[] | undefined;
  /** A JSON or YAML object; "-" is standard input. */
  readonly paramsFile?: string | undefined;
}

/**
 * The parameters object of a run. What --param and --param-file give goes over --params-file. A name may be repeated where the schema
 * says array.
 * @param schema of the parameters object; text becomes numbers, booleans and lists by it
 * @throws OpenlineError PARAMETERS_INVALID, REQUEST_INVALID
 */
export async function collectParameters(options: ParameterOptions, schema: JsonSchema, io: Io): Promise<Parameters> {
  const fromFile = options.paramsFile === undefined ? {} : await readParametersFile(options.paramsFile, io);
  const given = new Map<string, string[]>();
  const put = (key: string, text: string) => void given.set(key, [...(given.get(key) ?? []), text]);
  for (const each of options.paramFile ?? []) {
    const { key, value: path } = parsePair(each, '--param-file');
    put(key, await readText(path, `the value of ${key}`, io));
  }
  for (const each of options.param ?? []) {
    const { key, value } = parsePair(each, '--param');
    put(key, value);
  }
  if (given.size === 0) return fromFile;
  const { coerceParameters } = await import('@openline/packs');
  return { ...fromFile, ...coerceParameters({ parametersSchema: schema }, Object.fromEntries(given)) };
}

/**
 * What --param-from says: by the name of the parameter, "label:KEY", "fact:KEY" or "name".
 * @param values the parameters that have a value of their own
 * @throws CliError REQUEST_INVALID; the message never holds what was given, which may be a value by mistake
 */
export function collectReferences(
  paramFrom: readonly string[] | undefined,
  values: Readonly<Parameters>,
): Record<string, string> {
  const references: Record<string, string> = {};
  for (const each of paramFrom ?? []) {
    const { key, value } = parsePair(each, '--param-from');
    if (parseProperty(value) === undefined) {
      throw usageError(
        `what --param-from gives for ${key} is no property of a target`,
        `A property is ${PROPERTY_FORMS}; a value that is the same everywhere is given with --param.`,
      );
    }
    if (Object.hasOwn(references, key)) throw usageError(`--param-from gives ${key} more than once`, 'Give it once.');
    if (Object.hasOwn(values, key)) {
      throw usageError(`${key} is given a value, and by --param-from, too`, 'Give one of the two.');
    }
    references[key] = value;
  }
  return references;
}

async function readParametersFile(path: string, io: Io): Promise<Parameters> {
  const text = await readText(path, 'the parameters', io);
  const from = path === '-' ? 'standard input' : path;
  let value: unknown;
  try {
    // YAML takes most of what is broken JSON for something else.
    value = path.endsWith('.json') ? JSON.parse(text) : (await import('../yaml.ts')).parse(text);
  } catch (error) {
    throw usageError(`${from}${placeOf(error)} is neither JSON nor YAML`, 'Correct the file at that place.');
  }
  if (value === null || value === undefined) return {};
  if (!isObject(value))
    throw usageError(`${from} holds no object of parameters`, 'Write one `name: value` per line, or a JSON object.');
  return value;
}

async function readText(path: string, what: string, io: Io): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readWhole(path === '-' ? io.stdin() : resolve(io.cwd, path), 'parameters');
  } catch (error) {
    const problem = `cannot read ${what} from ${path}: ${fileProblem(error)}`;
    throw new CliError('REQUEST_INVALID', problem, 'Correct the path, or what is there.', { cause: error });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw usageError(
      `${path} is not UTF-8 text, and parameters are text`,
      'Encode it, for example with base64, where the task takes that.',
    );
  }
}

/** ":line:column", when the parser says it; its message would quote the file, which may hold secrets. */
function placeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const [, line, column] = /\bline (\d+),? column (\d+)/.exec(error.message) ?? [];
  return line === undefined ? '' : `:${line}:${column}`;
}
