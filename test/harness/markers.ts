import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Operator, stateName } from './operator.ts';

/** What a task itself wrote when it started: evidence that no database can embellish. */
export interface Start {
  readonly runId: string;
  readonly agent: string;
  readonly pid: number;
}

/** What the server says of one dispatch of the pack's `marker` task, for the comparison. */
export interface Claim {
  readonly runId: string;
  readonly agent: string;
  readonly state: string;
}

const ENDED_WITHOUT_START = new Set(['expired', 'rejected']);
const ENDED = new Set(['succeeded', 'failed', 'timed_out', 'cancelled', 'lost', ...ENDED_WITHOUT_START]);

/** A directory in which the pack's `marker` task leaves one file per start, `<run id>@<agent>@<pid>-<nanoseconds>`. */
export async function markerDir(scratch: string): Promise<{ dir: string; starts(): Promise<Start[]> }> {
  const dir = join(scratch, 'markers');
  await mkdir(dir, { mode: 0o777 });
  return {
    dir,
    async starts() {
      return (await readdir(dir)).map((name) => {
        const [runId = '', agent = '', pid = ''] = name.split('@');
        return { runId, agent, pid: Number.parseInt(pid, 10) };
      });
    },
  };
}

/**
 * Compares what the tasks wrote with what the server says. Empty when every promise was kept:
 * at most one start for a dispatch, every dispatch ended, succeeded means exactly one start, never started means none.
 */
export function violations(starts: readonly Start[], claims: readonly Claim[]): string[] {
  const counts = new Map<string, number>();
  for (const { runId, agent } of starts) counts.set(`${runId}@${agent}`, (counts.get(`${runId}@${agent}`) ?? 0) + 1);
  const found: string[] = [];
  for (const [key, count] of counts) if (count > 1) found.push(`${key} started ${count} times`);
  for (const { runId, agent, state } of claims) {
    const key = `${runId}@${agent}`;
    const count = counts.get(key) ?? 0;
    if (!ENDED.has(state)) found.push(`${key} has not ended: ${state}`);
    if (state === 'succeeded' && count === 0) found.push(`${key} is said to have succeeded and never started`);
    if (ENDED_WITHOUT_START.has(state) && count > 0) found.push(`${key} is said to be ${state} and did start`);
  }
  return found;
}

/** What the server says now of all dispatches of a run. */
export async function claimsOf(operator: Operator, runId: string): Promise<Claim[]> {
  const { dispatches } = await operator.getRun(runId);
  return dispatches.map(({ agentName, state }) => ({ runId, agent: agentName, state: stateName(state) }));
}
