import { OpenlineError } from '@openline/proto/errors';
import type { PackTask, Risk, Runner, TaskExample } from './pack.ts';
import { compileParameters } from './parameters.ts';
import { fileVariableOf, variableOf } from './process.ts';
import { booleanOf, choiceOf, durationOf, entriesOf, fieldsOf, integerOf, itemsOf, need, textOf } from './read.ts';
import { readRunner } from './runner.ts';
import { checkSchema } from './schema.ts';
import { type Entry, type Located, plain, type Report } from './source.ts';

const RISKS: readonly Risk[] = ['read', 'change', 'dangerous'];
const MAINTENANCE = ['run', 'refuse'] as const;
const FIELDS = [
  'title',
  'description',
  'risk',
  'timeout',
  'successCodes',
  'requires',
  'maintenance',
  'parameters',
  'run',
  'examples',
] as const;

const DEFAULT_TIMEOUT_MS = 60_000;
const TIMEOUT_MS = { min: 1000, max: 24 * 3600 * 1000 } as const;
const MAX_PARAMETERS = 32;
const MAX_EXAMPLES = 20;
const MAX_REQUIREMENTS = 32;

/** Names of packs, tasks and parameters: as in DNS, so that they fit into a path, a label and an environment variable. */
export const NAME = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;
export const NAME_RULE = 'a to z, 0 to 9 and -, beginning with a letter and not ending with -, at most 63 characters';

export function readTask(report: Report, name: string, entry: Entry): PackTask {
  const node = entry.value;
  if (!NAME.test(name)) report.add(entry.keyAt, `'${name}' is no name for a task: ${NAME_RULE}`);
  const fields = fieldsOf(report, node, `task '${name}'`, FIELDS);
  const title = textOf(report, fields.title?.value, "'title'", 120);
  if (fields.title === undefined) report.add(entry.keyAt, `task '${name}' needs a 'title'`);
  const { schema, names, sound } = readParameters(report, fields.parameters?.value);
  if (fields.run === undefined) report.add(entry.keyAt, `task '${name}' needs 'run', which says what it does`);
  const runner = readRunner(report, fields.run?.value, names);
  const task: PackTask = {
    name,
    title: title ?? '',
    description: textOf(report, fields.description?.value, "'description'", 4000) ?? '',
    risk: choiceOf(report, fields.risk?.value, "'risk'", RISKS) ?? 'read',
    timeoutMs: durationOf(report, fields.timeout?.value, "'timeout'", TIMEOUT_MS) ?? DEFAULT_TIMEOUT_MS,
    successCodes: readSuccessCodes(report, fields.successCodes?.value),
    requires: { ...interpreterOf(runner), ...readRequires(report, fields.requires?.value) },
    maintenance: choiceOf(report, fields.maintenance?.value, "'maintenance'", MAINTENANCE) ?? 'run',
    parametersSchema: schema,
    runner: runner ?? { kind: 'builtin', name: 'ping' },
    examples: readExamples(report, fields.examples?.value),
  };
  if (sound) checkValues(report, task, fields.parameters?.value, fields.examples?.value);
  return task;
}

/** A script needs its interpreter, so nobody has to say so. */
export function interpreterOf(runner: Runner | undefined): Record<string, string> {
  return runner?.kind === 'script' ? { [`interpreter.${runner.interpreter}`]: '*' } : {};
}

function readSuccessCodes(report: Report, node: Located | undefined): readonly number[] {
  if (node === undefined) return [0];
  const items = itemsOf(report, node, "'successCodes'");
  if (node.kind === 'list' && items.length === 0) report.add(node.at, "'successCodes' lists no exit code");
  const codes = items.map((item) => integerOf(report, item, 'an exit code', 0, 255));
  return [...new Set(codes.filter((code) => code !== undefined))];
}

export function readRequires(report: Report, node: Located | undefined): Record<string, string> {
  const requires: Record<string, string> = {};
  const entries = entriesOf(report, node, "'requires'");
  if (node !== undefined && entries.size > MAX_REQUIREMENTS) {
    report.add(node.at, `'requires' has ${entries.size} entries; at most ${MAX_REQUIREMENTS} are allowed`);
  }
  for (const [key, { keyAt, value }] of entries) {
    if (!/^[A-Za-z0-9][A-Za-z0-9._/-]{0,252}$/.test(key)) {
      report.add(keyAt, `'${key}' is no name of a label or fact: letters, digits, '.', '_', '/' and '-'`);
    }
    const wanted = textOf(report, value, `the value of '${key}' ('*' for any)`, 253);
    if (wanted !== undefined) requires[key] = wanted;
  }
  return requires;
}

function readParameters(report: Report, node: Located | undefined) {
  const before = report.count();
  const properties: Record<string, unknown> = {};
  const required: string[] = [];
  const variables = new Map<string, string>();
  const entries = entriesOf(report, node, "'parameters'");
  if (node !== undefined && entries.size > MAX_PARAMETERS) {
    report.add(node.at, `a task has at most ${MAX_PARAMETERS} parameters; this one has ${entries.size}`);
  }
  for (const [name, entry] of entries) {
    const { optional, schema } = readParameter(report, name, entry);
    checkVariables(report, variables, name, entry.keyAt);
    properties[name] = schema;
    if (!optional) required.push(name);
  }
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties,
    ...(required.length > 0 ? { required } : {}),
    additionalProperties: false,
  };
  return { schema, names: [...entries.keys()], sound: report.count() === before };
}

function readParameter(report: Report, name: string, { keyAt, value }: Entry) {
  if (!NAME.test(name)) report.add(keyAt, `'${name}' is no name for a parameter: ${NAME_RULE}`);
  checkSchema(report, value, `parameter '${name}'`, 0, ['optional']);
  const entries = value.kind === 'map' ? value.entries : new Map<string, Entry>();
  const optional = entries.get('optional');
  const isOptional = booleanOf(report, optional?.value, "'optional'") ?? false;
  if (optional !== undefined && entries.has('default')) {
    report.add(optional.keyAt, "'optional' and 'default' exclude each other: what has a default is never absent");
  }
  const schema = value.kind === 'map' ? withoutOptional(value) : {};
  return { optional: isOptional || entries.has('default'), schema };
}

function withoutOptional(node: Extract<Located, { kind: 'map' }>): unknown {
  return plain({ ...node, entries: new Map([...node.entries].filter(([key]) => key !== 'optional')) });
}

/** "body" may arrive as OPENLINE_PARAM_BODY_FILE, which is also where "body-file" would arrive. */
function checkVariables(report: Report, taken: Map<string, string>, name: string, keyAt: number): void {
  for (const variable of [variableOf(name), fileVariableOf(name)]) {
    const other = taken.get(variable);
    if (other !== undefined) {
      report.add(
        keyAt,
        `parameters '${other}' and '${name}' would share the environment variable ${variable}; rename one`,
      );
    }
    taken.set(variable, name);
  }
}

function readExamples(report: Report, node: Located | undefined): readonly TaskExample[] {
  const items = itemsOf(report, node, "'examples'");
  if (node !== undefined && items.length > MAX_EXAMPLES)
    report.add(node.at, `a task has at most ${MAX_EXAMPLES} examples`);
  return items.map((item) => {
    const fields = fieldsOf(report, item, 'an example', ['title', 'parameters']);
    const title = need(report, item.at, fields.title?.value, "an example needs a 'title'");
    const entries = entriesOf(report, fields.parameters?.value, "'parameters' of an example");
    return {
      title: textOf(report, title, "'title'", 200) ?? '',
      parameters: Object.fromEntries([...entries].map(([name, { value }]) => [name, plain(value)])),
    };
  });
}

/** Defaults, examples and allowed values must fit the schema they stand in, and the task's examples the task. */
function checkValues(
  report: Report,
  task: PackTask,
  parameters: Located | undefined,
  examples: Located | undefined,
): void {
  for (const [name, { value }] of entriesOf(report, parameters, "'parameters'")) checkSchemaValues(report, name, value);
  const items = itemsOf(report, examples, "'examples'");
  if (items.length === 0) return;
  const validate = compileParameters(task);
  for (const [i, item] of items.entries()) {
    const problem = problemOf(validate, task.examples[i]?.parameters ?? {});
    if (problem !== undefined) report.add(item.at, `this example would be refused: ${problem}`);
  }
}

function checkSchemaValues(report: Report, name: string, schema: Located): void {
  if (schema.kind !== 'map') return;
  const values = valuesIn(schema);
  if (values.length > 0) {
    const validate = compileParameters({ parametersSchema: { properties: { [name]: withoutOptional(schema) } } });
    for (const { keyword, value } of values) {
      const problem = problemOf(validate, { [name]: plain(value) });
      if (problem !== undefined) report.add(value.at, `'${keyword}' does not fit: ${problem}`);
    }
  }
  const items = schema.entries.get('items')?.value;
  if (items !== undefined) checkSchemaValues(report, `items of ${name}`, items);
  const properties = schema.entries.get('properties')?.value;
  for (const [property, { value }] of entriesOf(report, properties, "'properties'")) {
    checkSchemaValues(report, `${name}.${property}`, value);
  }
}

function valuesIn(schema: Extract<Located, { kind: 'map' }>): { keyword: string; value: Located }[] {
  return [...schema.entries].flatMap(([keyword, { value }]) => {
    if (keyword === 'default' || keyword === 'const') return [{ keyword, value }];
    if ((keyword === 'examples' || keyword === 'enum') && value.kind === 'list') {
      return value.items.map((item) => ({ keyword, value: item }));
    }
    return [];
  });
}

function problemOf(validate: (values: unknown) => unknown, values: unknown): string | undefined {
  try {
    validate(values);
    return undefined;
  } catch (error) {
    if (error instanceof OpenlineError) return error.message;
    throw error;
  }
}
