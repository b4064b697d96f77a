import type { PackTask } from './pack.ts';
import { declared, invalid, type Schema, unknownParameter } from './parameters.ts';

type Outcome = { readonly value: unknown } | { readonly problem: string };

/**
 * Turns the `--param name=value` of a command line into typed values, by the schema. Arrays: JSON, or the option repeated. Objects: JSON.
 * It does not validate: `compileParameters` does.
 * @param given name → text, or every text of an option that was repeated
 * @throws OpenlineError PARAMETERS_INVALID
 */
export function coerceParameters(
  task: Pick<PackTask, 'parametersSchema'>,
  given: Readonly<Record<string, string | readonly string[]>>,
): Record<string, unknown> {
  const { properties } = declared(task.parametersSchema);
  const problems: string[] = [];
  const result: Record<string, unknown> = {};
  for (const [name, texts] of Object.entries(given)) {
    const schema = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (schema === undefined) {
      problems.push(unknownParameter(name, Object.keys(properties)));
      continue;
    }
    const outcome = coerce(schema, typeof texts === 'string' ? [texts] : texts);
    if ('problem' in outcome) problems.push(`parameter '${name}' ${outcome.problem}`);
    else result[name] = outcome.value;
  }
  if (problems.length > 0) throw invalid(problems);
  return result;
}

/**
 * As `coerceParameters`, for those of an object that are text still.
 * @param asText their names
 * @throws OpenlineError PARAMETERS_INVALID
 */
export function coerceSome(
  task: Pick<PackTask, 'parametersSchema'>,
  parameters: Readonly<Record<string, unknown>>,
  asText: readonly string[],
): Record<string, unknown> {
  const texts = Object.fromEntries(asText.map((name) => [name, String(parameters[name])]));
  return { ...parameters, ...coerceParameters(task, texts) };
}

function coerce(schema: Schema, texts: readonly string[]): Outcome {
  if (schema.type === 'array') return coerceList(schema, texts);
  const [text, second] = texts;
  if (text === undefined || second !== undefined) return { problem: 'was given more than once, and takes one value' };
  return coerceOne(schema, text);
}

function coerceList(schema: Schema, texts: readonly string[]): Outcome {
  const [only, second] = texts;
  if (only !== undefined && second === undefined && only.trimStart().startsWith('[')) {
    return fromJson(only, 'begins with [ and so must be a JSON array');
  }
  const { items } = schema;
  const itemSchema: Schema = typeof items === 'object' && items !== null ? { ...items } : {};
  const values: unknown[] = [];
  for (const text of texts) {
    const outcome = coerceOne(itemSchema, text);
    if ('problem' in outcome) return outcome;
    values.push(outcome.value);
  }
  return { value: values };
}

function coerceOne(schema: Schema, text: string): Outcome {
  switch (schema.type) {
    case 'integer':
      return coerceInteger(text);
    case 'number':
      return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) && Number.isFinite(Number(text))
        ? { value: Number(text) }
        : { problem: 'must be a number' };
    case 'boolean':
      return text === 'true' || text === 'false' ? { value: text === 'true' } : { problem: 'must be true or false' };
    case 'array':
    case 'object':
      return fromJson(text, `must be a JSON ${schema.type}`);
    default:
      return { value: text };
  }
}

function coerceInteger(text: string): Outcome {
  if (!/^[+-]?\d+$/.test(text)) return { problem: 'must be a whole number' };
  const value = Number(text);
  return Number.isSafeInteger(value) ? { value } : { problem: 'is too large a number to be kept exactly' };
}

function fromJson(text: string, problem: string): Outcome {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { problem };
  }
}
