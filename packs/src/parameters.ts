import { OpenlineError } from '@openline/proto/errors';
import type { PackTask } from './pack.ts';

/**
 * The check of a task's parameters, compiled once. It fills defaults in and never changes its argument.
 * @returns a function that throws OpenlineError PARAMETERS_INVALID, naming each parameter and what was expected, never a value
 */
export function compileParameters(_task: PackTask): (value: unknown) => Record<string, unknown> {
  throw new OpenlineError('INTERNAL', 'not written yet');
}
