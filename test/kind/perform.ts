import { type Outcome, print, printStep, type StepReport } from './report.ts';
import type { Scenario, Stage, Step } from './scenario.ts';

export interface Told {
  done(step: StepReport): void;
  /** Called before the teardown. */
  atFailure(): Promise<void>;
}

/**
 * The steps of a scenario in their order; after one that failed the others are skipped. Then its teardown, whatever happened.
 * @param signal no further step is begun
 * @returns whether anything failed
 */
export async function perform(
  scenario: Scenario,
  stage: Stage,
  signal: AbortSignal,
  { done, atFailure }: Told,
): Promise<boolean> {
  print(`\n${scenario.name}: ${scenario.title}`);
  let failed = false;
  const add = async ({ title, perform: work }: Step, skip: boolean): Promise<void> => {
    const sinceMs = performance.now();
    const end = skip || signal.aborted ? skipped : await attempt(work, signal);
    const report = { scenario: scenario.name, step: title, ms: Math.round(performance.now() - sinceMs), ...end };
    failed ||= end.outcome === 'failed';
    printStep(report);
    done(report);
  };
  for (const [index, step] of scenario.steps(stage).entries()) {
    await add({ ...step, title: `${String(index).padStart(2, '0')} ${step.title}` }, failed);
  }
  if (failed && !signal.aborted) await atFailure();
  const { teardown } = scenario;
  if (teardown !== undefined) await add({ title: 'teardown', perform: () => teardown(stage) }, false);
  return failed;
}

interface End {
  readonly outcome: Outcome;
  readonly error?: string;
}

const skipped: End = { outcome: 'skipped' };

async function attempt(work: () => Promise<void>, signal: AbortSignal): Promise<End> {
  try {
    await work();
    return { outcome: 'passed' };
  } catch (error) {
    if (signal.aborted) return skipped;
    return { outcome: 'failed', error: explain(error) };
  }
}

function explain(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}\n${explain(error.cause)}`;
}
