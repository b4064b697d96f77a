import { compileExpression, truthOf } from '../cel/evaluate.ts';
import type { DiagnosticEnd } from './types.ts';

/** Whether a recovery is the one to run: its `when`, over the diagnostic's end and the sample of the state change. An error is no. */
export function recoveryHolds(when: string, diagnostic: DiagnosticEnd | undefined, sample: unknown): boolean {
  if (when === '') return true;
  // Where there was none, `diagnostic` is an object without fields, so that has() can ask.
  const seen =
    diagnostic === undefined
      ? {}
      : { state: diagnostic.state, output: diagnostic.output, exit_code: diagnostic.exitCode ?? null };
  try {
    return truthOf(compileExpression(when)({ diagnostic: seen, sample: sample ?? {} }));
  } catch {
    return false;
  }
}
