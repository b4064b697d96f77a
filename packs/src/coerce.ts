import { OpenlineError } from '@openline/proto/errors';
import type { PackTask } from './pack.ts';

/**
 * Turns the `--param name=value` of a command line into typed values, by the schema. Arrays: JSON, or the option repeated. Objects: JSON.
 * @param given name → text, or every text of an option that was repeated
 * @throws OpenlineError PARAMETERS_INVALID
 */
export function coerceParameters(
  _task: Pick<PackTask, 'parametersSchema'>,
  _given: Readonly<Record<string, string | readonly string[]>>,
): Record<string, unknown> {
  throw new OpenlineError('INTERNAL', 'not written yet');
}
