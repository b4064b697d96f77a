import { formatDuration } from '@openline/packs/duration';
import { createColors } from 'picocolors';
import { isObject } from '../args/parameters.ts';
import { shellQuote } from '../args/quote.ts';
import type { Screen } from '../io.ts';
import { type Column, renderTable } from '../render/table.ts';
import { printable } from '../render/text.ts';
import { formatAge } from '../render/time.ts';
import type { PackView, TaskView } from '../views/pack.ts';
import { at } from '../views/values.ts';

export function renderPack(pack: PackView, screen: Screen, nowMs: number): string[] {
  const columns: Column<TaskView>[] = [
    { title: 'TASK', cell: (task) => `${pack.name}/${task.name}` },
    { title: 'RISK', cell: (task) => task.risk, paint: (text, task) => riskPaint(task.risk, screen.color)(text) },
    { title: 'TITLE', cell: (task) => task.title, shrinks: true },
  ];
  return [
    `${pack.name} ${pack.version}: ${printable(pack.title)}`,
    ...(pack.description === '' ? [] : pack.description.trim().split('\n').map(printable)),
    '',
    `digest:   sha256 ${pack.digest}`,
    `signed:   key ${pack.keyId}`,
    `pushed:   ${formatAge(at(pack.pushedAt), nowMs)} by ${printable(pack.pushedBy)}`,
    `agents:   ${pack.readyAgents} of ${pack.connectedAgents} connected are ready, ${pack.refusedAgents} refused it`,
    ...watchLines(pack),
    ...(pack.tasks.length === 0 ? [] : ['', ...renderTable(columns, pack.tasks, screen.columns)]),
  ];
}

function watchLines({ name, ruleCount, monitorCount }: PackView): string[] {
  return [
    ...(ruleCount === 0 ? [] : [`rules:    ${ruleCount}: \`openline rules ${name}\``]),
    ...(monitorCount === 0 ? [] : [`monitors: ${monitorCount}: \`openline monitors --available ${name}\``]),
  ];
}

function riskPaint(risk: string, color: boolean): (text: string) => string {
  const paint = createColors(color);
  return risk === 'dangerous' ? paint.red : risk === 'change' ? paint.yellow : paint.green;
}

interface Parameter {
  readonly name: string;
  readonly type: string;
  readonly required: boolean;
  readonly fallback: string;
  readonly description: string;
}

export function renderTask(ref: string, task: TaskView, screen: Screen): string[] {
  const parameters = parametersOf(task.parametersSchema);
  const requires = Object.entries(task.requires).map(([key, value]) =>
    value === '*' ? key : `${key}=${String(value)}`,
  );
  const columns: Column<Parameter>[] = [
    { title: 'PARAMETER', cell: (each) => each.name },
    { title: 'TYPE', cell: (each) => each.type, shrinks: true },
    { title: 'DEFAULT', cell: (each) => (each.required ? '(required)' : each.fallback), shrinks: true },
    { title: 'DESCRIPTION', cell: (each) => each.description, shrinks: true },
  ];
  return [
    `${ref}: ${printable(task.title)}`,
    ...(task.description === '' ? [] : task.description.trim().split('\n').map(printable)),
    '',
    `risk:      ${riskPaint(task.risk, screen.color)(task.risk)}`,
    `runs:      ${printable(task.runner)}`,
    `timeout:   ${formatDuration(task.timeoutMs)}`,
    ...(requires.length === 0 ? [] : [`requires:  ${requires.map(printable).join(', ')}`]),
    '',
    ...(parameters.length === 0 ? ['It takes no parameters.'] : renderTable(columns, parameters, screen.columns)),
    '',
    'Examples:',
    ...exampleCommands(ref, task).map((line) => `  ${line}`),
  ];
}

export function parametersOf(schema: Record<string, unknown>): Parameter[] {
  const properties = isObject(schema['properties']) ? schema['properties'] : {};
  const required = Array.isArray(schema['required']) ? schema['required'] : [];
  return Object.entries(properties).map(([name, each]) => {
    const own = isObject(each) ? each : {};
    const text = own['description'] ?? own['title'];
    return {
      name,
      type: typeText(own),
      required: required.includes(name) && own['default'] === undefined,
      fallback: own['default'] === undefined ? '' : valueText(own['default']),
      description: typeof text === 'string' ? text : '',
    };
  });
}

/** "integer 1…100", "string read|write", "array of string" */
function typeText(schema: Record<string, unknown>): string {
  const choices = schema['enum'];
  if (Array.isArray(choices)) return choices.map(valueText).join('|');
  const type = schema['type'];
  if (type === 'array') return `array of ${typeText(isObject(schema['items']) ? schema['items'] : {})}`;
  const name = typeof type === 'string' ? type : Array.isArray(type) ? type.join('|') : 'any';
  const { minimum, maximum, pattern, format } = schema;
  if (minimum !== undefined || maximum !== undefined) return `${name} ${minimum ?? ''}…${maximum ?? ''}`;
  if (typeof format === 'string') return `${name} (${format})`;
  return typeof pattern === 'string' ? `${name} /${pattern}/` : name;
}

function valueText(value: unknown): string {
  return typeof value === 'string' && value !== '' ? value : JSON.stringify(value);
}

/** What to type, ready to be pasted into a shell. */
export function exampleCommands(ref: string, task: TaskView): string[] {
  const examples = task.examples.filter(isObject);
  const needed = parametersOf(task.parametersSchema).filter((each) => each.required);
  if (examples.length === 0)
    examples.push(Object.fromEntries(needed.map((each) => [each.name, each.name.toUpperCase()])));
  return examples.map((example) => {
    // An example is a parameters object, or one with a title beside it.
    const parameters =
      isObject(example['parameters']) && typeof example['title'] === 'string' ? example['parameters'] : example;
    const flags = Object.entries(parameters).map(
      ([name, value]) =>
        `--param ${shellQuote(`${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`)}`,
    );
    return ['openline run', shellQuote(ref), '--on all', ...flags].join(' ');
  });
}
