import { writeFileSync } from 'node:fs';
import { styleText } from 'node:util';

export type Outcome = 'passed' | 'failed' | 'skipped';

export interface StepReport {
  readonly scenario: string;
  readonly step: string;
  readonly outcome: Outcome;
  readonly ms: number;
  readonly error?: string;
}

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

const MARKS = {
  passed: () => styleText('green', 'ok     ', { stream: process.stdout }),
  failed: () => styleText('red', 'FAILED ', { stream: process.stdout }),
  skipped: () => styleText('yellow', 'skipped', { stream: process.stdout }),
} satisfies Record<Outcome, () => string>;

export function print(text = ''): void {
  process.stdout.write(`${text}\n`);
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

export function printStep({ outcome, step, ms, error }: StepReport): void {
  print(`  ${MARKS[outcome]()} ${step}${outcome === 'skipped' ? '' : ` (${seconds(ms)})`}`);
  if (error !== undefined) print(indent(error));
}

export function indent(text: string): string {
  return text.replace(/^/gm, '          ');
}

export function count(steps: readonly StepReport[]): Counts {
  const of = (outcome: Outcome): number => steps.filter((step) => step.outcome === outcome).length;
  return { passed: of('passed'), failed: of('failed'), skipped: of('skipped') };
}

/** For scripts/count.mjs, and for people who look at which step takes how long. */
export function writeReport(file: string, steps: readonly StepReport[]): void {
  writeFileSync(file, `${JSON.stringify({ ...count(steps), steps }, null, 2)}\n`);
}
