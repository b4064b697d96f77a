import { TaskEnd, TaskReports } from '@openline/proto/agent';
import { expect, it } from 'vitest';
import { changesOf } from './intake.ts';

const ids = { agentId: 'a', epoch: 1 };
const runId = '00000000-0000-7000-8000-000000000000';

it('what an agent says it put in is bounded, and has no NUL, which PostgreSQL would refuse with everything else', () => {
  const parametersFrom = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`p${i}`, `\0${'x'.repeat(300)}`]));
  const end = TaskEnd.TASK_END_SUCCEEDED;
  for (const reports of [{ started: [{ runId, parametersFrom }] }, { results: [{ runId, end, parametersFrom }] }]) {
    const [change] = changesOf(TaskReports.create(reports), ids);
    if (typeof change !== 'object') throw new Error(`refused: ${change}`);
    const kept = Object.entries(change.parametersFrom ?? {});
    expect(kept).toHaveLength(32);
    expect(kept[0]).toEqual(['p0', `\ufffd${'x'.repeat(252)}`]);
  }
});
