import type { Interpreter, Risk } from '@openline/packs';
import type { Task } from '@openline/proto/agent';
import { type ErrorCode, OpenlineError } from '@openline/proto/errors';
import type { ReadyTask } from '../packs/library.ts';

/** What this machine lets run, whatever a server says. */
export interface LocalPolicy {
  /** Patterns of "pack/task"; `*` stands for any characters. */
  readonly allow: readonly string[];
  /** Tasks of a higher risk are refused. undefined: none is. */
  readonly maxRisk: Risk | undefined;
  readonly interpreters: Readonly<Partial<Record<Interpreter, string>>>;
}

export type Admission =
  | { readonly kind: 'admitted'; readonly parameters: Readonly<Record<string, unknown>> }
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly reason: string };

const RISKS: Readonly<Record<Risk, number>> = { read: 0, change: 1, dangerous: 2 };

/** Pure. Goes by the names in the verified pack, not by those that the server sent. */
export function admit(task: Task, ready: ReadyTask, policy: LocalPolicy): Admission {
  const name = `${ready.packName}/${ready.task.name}`;
  if (!policy.allow.some((pattern) => matches(pattern, name))) {
    return refused('TASK_DENIED', `this agent does not run ${name}: no pattern of tasks.allow fits it`);
  }
  if (policy.maxRisk !== undefined && RISKS[ready.task.risk] > RISKS[policy.maxRisk]) {
    return refused('TASK_DENIED', `${name} is of risk '${ready.task.risk}'; this agent runs up to '${policy.maxRisk}'`);
  }
  const { runner } = ready.task;
  if (runner.kind === 'script') {
    if (policy.interpreters[runner.interpreter] === undefined) {
      return refused('REQUIREMENTS_NOT_MET', `${name} needs ${runner.interpreter}, which this machine does not have`);
    }
    if (ready.scriptPath === undefined) return refused('INTERNAL', `the script of ${name} is not on disk`);
  }
  try {
    const parameters = JSON.parse(task.parametersJson || '{}');
    return { kind: 'admitted', parameters: ready.validate(parameters, Object.keys(task.parametersFrom)) };
  } catch (error) {
    if (error instanceof OpenlineError) return refused(error.code, error.message);
    return refused('PARAMETERS_INVALID', `the parameters of ${name} are not a JSON object`);
  }
}

function refused(code: ErrorCode, reason: string): Admission {
  return { kind: 'refused', code, reason };
}

export function matches(pattern: string, name: string): boolean {
  // Glob by hand: a pattern of a configuration must not become a regular expression that runs for ever.
  const [head = '', ...rest] = pattern.split('*');
  if (rest.length === 0) return name === pattern;
  if (!name.startsWith(head)) return false;
  let at = head.length;
  const tail = rest.pop() ?? '';
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return name.length - tail.length >= at && name.endsWith(tail);
}
