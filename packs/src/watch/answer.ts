import { OpenlineError } from '@openline/proto/errors';
import { didYouMean } from '@openline/proto/suggest';
import type { Scope } from '../cel/check.ts';
import { type AlertSpec, SEVERITIES, type TaskAnswer } from '../monitoring.ts';
import type { PackTask } from '../pack.ts';
import { compileParameters } from '../parameters.ts';
import { choiceOf, durationOf, entriesOf, type Fields, fieldsOf, need, textOf } from '../read.ts';
import { type Located, plain } from '../source.ts';
import { NAME, NAME_RULE } from '../task.ts';
import { COOLDOWN_MS } from './bounds.ts';
import type { WatchContext } from './context.ts';

const DEFAULT_COOLDOWN_MS = 10 * 60_000;
export const MAX_TITLE_CHARS = 200;
export const MAX_DESCRIPTION_CHARS = 4000;

export const ANSWER_FIELDS = ['pack', 'task', 'parameters', 'cooldown'] as const;

/** A rule's alert, or a monitor's, which has no key: its instance is one. */
export function readAlert(
  { report, expressions }: WatchContext,
  node: Located,
  fields: Fields<'severity' | 'title' | 'description' | 'key'>,
  scope: Scope,
): AlertSpec {
  const title = need(report, node.at, fields.title?.value, "'alert' needs a 'title'");
  return {
    severity: choiceOf(report, fields.severity?.value, "'severity'", SEVERITIES),
    title: expressions.template(title, "'title'", scope, MAX_TITLE_CHARS) ?? '',
    description: expressions.template(fields.description?.value, "'description'", scope, MAX_DESCRIPTION_CHARS) ?? '',
    key: expressions.expression(fields.key?.value, "'key'", scope, 'text'),
  };
}

export function readAnswer(context: WatchContext, node: Located | undefined, what: string, scope: Scope) {
  if (node === undefined) return undefined;
  const fields = fieldsOf(context.report, node, what, ANSWER_FIELDS);
  return readAnswerFields(context, node, what, fields, scope);
}

export function readAnswerFields(
  context: WatchContext,
  node: Located,
  what: string,
  fields: Fields<(typeof ANSWER_FIELDS)[number]>,
  scope: Scope,
): TaskAnswer {
  const { report, packName, expressions } = context;
  const pack = nameOf(context, fields.pack?.value, "'pack'");
  const taskNode = need(report, node.at, fields.task?.value, `${what} needs 'task', the name of a task`);
  const task = nameOf(context, taskNode, "'task'");
  const parameters = fields.parameters?.value;
  const entries = entriesOf(report, parameters, "'parameters'");
  const dynamic = parameters !== undefined && expressions.templates(parameters, "'parameters'", scope);
  const answer: TaskAnswer = {
    pack: pack === packName ? undefined : pack,
    task: task ?? '',
    parameters: Object.fromEntries([...entries].map(([name, { value }]) => [name, plain(value)])),
    cooldownMs: durationOf(report, fields.cooldown?.value, "'cooldown'", COOLDOWN_MS) ?? DEFAULT_COOLDOWN_MS,
  };
  const isOwn = fields.pack === undefined || pack === packName;
  if (isOwn && taskNode !== undefined && task !== undefined) {
    checkTask(context, taskNode, task, parameters, answer, dynamic);
  }
  return answer;
}

function nameOf({ report }: WatchContext, node: Located | undefined, what: string): string | undefined {
  const name = textOf(report, node, what, 63);
  if (node === undefined || name === undefined || NAME.test(name)) return name;
  report.add(node.at, `'${name}' is no name: ${NAME_RULE}`);
  return undefined;
}

/** Of a task in the same pack, everything can be known now. */
function checkTask(
  { report, tasks, tasksSound }: WatchContext,
  at: Located,
  name: string,
  parameters: Located | undefined,
  answer: TaskAnswer,
  dynamic: boolean,
): void {
  const task = tasks.get(name);
  if (task === undefined) {
    const hint = didYouMean(name, [...tasks.keys()]) || "; for a task of another pack, say 'pack'";
    report.add(at.at, `this pack has no task '${name}'${hint}`);
    return;
  }
  const known = Object.keys(propertiesOf(task));
  const given = [...entriesOf(report, parameters, "'parameters'")];
  const unknown = given.filter(([parameter]) => !known.includes(parameter));
  for (const [parameter, { keyAt }] of unknown) {
    report.add(keyAt, `task '${name}' has no parameter '${parameter}'${didYouMean(parameter, known)}`);
  }
  const where = parameters?.at ?? at.at;
  if (!dynamic && tasksSound && unknown.length === 0) {
    const problem = problemOf(task, answer.parameters);
    if (problem !== undefined) report.add(where, `task '${name}' would refuse this: ${problem}`);
    return;
  }
  for (const missing of requiredOf(task).filter((each) => !Object.hasOwn(answer.parameters, each))) {
    report.add(where, `task '${name}' needs the parameter '${missing}'`);
  }
}

function propertiesOf({ parametersSchema }: PackTask): object {
  const properties = parametersSchema['properties'];
  return typeof properties === 'object' && properties !== null ? properties : {};
}

/** What has a default may stay away. */
function requiredOf({ parametersSchema }: PackTask): readonly string[] {
  const required = parametersSchema['required'];
  return Array.isArray(required) ? required.filter((each) => typeof each === 'string') : [];
}

function problemOf(task: PackTask, values: unknown): string | undefined {
  try {
    compileParameters(task)(values);
    return undefined;
  } catch (error) {
    if (error instanceof OpenlineError) return error.message;
    throw error;
  }
}
