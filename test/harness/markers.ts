import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Operator, stateName } from './operator.ts';

/** What a task itself wrote when it started: evidence that no database can embellish. */
export interface Start {
  readonly runId: string;
  readonly agent: string;
  readonly pid: number;
  /** It also wrote that it came to its end. */
  readonly ended: boolean;
}

/** What the server says of one dispatch of the pack's `marker` task, for the comparison. */
export interface Claim {
  readonly runId: string;
  readonly agent: string;
  readonly state: string;
}

const ENDED_WITHOUT_START = new Set(['expired', 'rejected']);
const ENDED = new Set(['succeeded', 'failed', 'timed_out', 'cancelled', 'lost', ...ENDED_WITHOUT_START]);

/** A directory in which the pack's `marker` task leaves one file per start, `<run id>@<agent>@<pid>-<nanoseconds>`, and one per end. */
export async function markerDir(scratch: string): Promise<{ dir: string; starts(): Promise<Start[]> }> {
  const dir = join(scratch, 'markers');
  await mkdir(dir, { mode: 0o777 });
  return {
    dir,
    async starts() {
      const names = new Set(await readdir(dir));
      return [...names]
        .filter((name) => !name.endsWith('.end'))
        .map((name) => {
          const [runId = '', agent = '', pid = ''] = name.split('@');
          return { runId, agent, pid: Number.parseInt(pid, 10), ended: names.has(`${name}.end`) };
        });
    },
  };
}

/**
 * Compares what the tasks wrote with what the server says. Empty when every promise was kept:
 * at most one start for a dispatch, every dispatch ended, succeeded means exactly one start and its end, never started means none.
 */
export function violations(starts: readonly Start[], claims: readonly Claim[]): string[] {
  const counts = new Map<string, number>();
  const ended = new Set<string>();
  for (const start of starts) {
    const key = `${start.runId}@${start.agent}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
    if (start.ended) ended.add(key);
  }
  const found: string[] = [];
  for (const [key, count] of counts) if (count > 1) found.push(`${key} started ${count} times`);
  for (const { runId, agent, state } of claims) {
    const key = `${runId}@${agent}`;
    const count = counts.get(key) ?? 0;
    if (!ENDED.has(state)) found.push(`${key} has not ended: ${state}`);
    if (state === 'succeeded' && count === 0) found.push(`${key} is said to have succeeded and never started`);
    else if (state === 'succeeded' && !ended.has(key)) found.push(`${key} is said to have succeeded and did not end`);
    if (ENDED_WITHOUT_START.has(state) && count > 0) found.push(`${key} is said to be ${state} and did start`);
  }
  return found;
}

/** What the server says now of all dispatches of a run. */
export async function claimsOf(operator: Operator, runId: string): Promise<Claim[]> {
  const { dispatches } = await operator.getRun(runId);
  return dispatches.map(({ agentName, state }) => ({ runId, agent: agentName, state: stateName(state) }));
}
