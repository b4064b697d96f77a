import type { PackTask } from '../pack.ts';
import type { Report } from '../source.ts';
import type { ExpressionReader } from './expressions.ts';

/** What the readers of rules and monitors share. */
export interface WatchContext {
  readonly report: Report;
  readonly expressions: ExpressionReader;
  readonly packName: string;
  readonly tasks: ReadonlyMap<string, PackTask>;
  /** Whether nothing is wrong with the tasks, so that parameters can be checked against them. */
  readonly tasksSound: boolean;
}
