import type { Task } from '@openline/proto/agent';
import { type Properties, textsFor } from '@openline/proto/properties';
import type { Admission } from './admission.ts';

export interface Filled {
  readonly task: Task;
  /** Why it cannot run here. */
  readonly misfit?: Extract<Admission, { kind: 'refused' }>;
}

/**
 * Puts what the target is into the parameters that name a property of it, as text: of which type they are is known once their pack is here.
 * Done once, before the task is written to the journal: an agent that restarts runs it with the values that it was taken with. Pure.
 */
export function fillIn(task: Task, target: Properties): Filled {
  // Nearly all tasks.
  if (Object.keys(task.parametersFrom).length === 0) return { task };
  const found = textsFor(task.parametersFrom, target);
  if ('code' in found) return { task, misfit: { kind: 'refused', ...found } };
  try {
    const parametersJson = JSON.stringify({ ...JSON.parse(task.parametersJson || '{}'), ...found.texts });
    return { task: { ...task, parametersJson } };
  } catch {
    const reason = `the parameters of ${task.taskName} are not a JSON object`;
    return { task, misfit: { kind: 'refused', code: 'PARAMETERS_INVALID', reason } };
  }
}

/** What `fillIn` put into this task, also when that was before a restart: by the name of the parameter, as text. Pure. */
export function filledIn(task: Task | undefined): Record<string, string> {
  const names = Object.keys(task?.parametersFrom ?? {});
  if (task === undefined || names.length === 0) return {};
  const parameters: Record<string, unknown> = JSON.parse(task.parametersJson);
  return Object.fromEntries(names.map((name) => [name, String(parameters[name])]));
}
