import { Heartbeat, TaskEnd, TaskResult } from '@openline/proto/agent';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  bareAgent,
  cleanup,
  eventually,
  markerDir,
  packsHeld,
  pushPacks,
  readIdentity,
  scratchDir,
  startAgent,
  startServer,
  stateName,
  type TestAgent,
  type TestServer,
} from '../harness/index.ts';

let server: TestServer;
let dir: string;
let markers: Awaited<ReturnType<typeof markerDir>>;
let small: TestAgent;

beforeAll(async () => {
  dir = scratchDir('pacing');
  markers = await markerDir(dir);
  server = await startServer({ dir, flags: ['--heartbeat-interval=1s', '--offline-after=15s'] });
  await pushPacks(server);
  // Two tasks at a time, three may wait.
  small = await startAgent({ dir, server, name: 'small', flags: ['--tasks-concurrency=2', '--tasks-queue-limit=3'] });
  await packsHeld(server);
});
afterAll(cleanup);

const submit = async (ms: number, more: { wait?: boolean; ttlMs?: number } = {}): Promise<string> => {
  const request = { targets: 'name=small', parameters: { dir: markers.dir, ms }, ...more };
  return (await server.operator.submit('test/marker', request)).id;
};
const dispatchOf = async (runId: string) => {
  const [dispatch] = (await server.operator.getRun(runId)).dispatches;
  if (dispatch === undefined) throw new Error(`run ${runId} has no dispatch`);
  return dispatch;
};
const stateOf = async (runId: string) => stateName((await dispatchOf(runId)).state);
const endOf = async (runId: string): Promise<string> => {
  await server.operator.ended(runId);
  const { state, reasonCode } = await dispatchOf(runId);
  return `${stateName(state)} ${reasonCode}`.trim();
};
const endsOf = (runIds: readonly string[]) => Promise.all(runIds.map(endOf));
const times = <T>(count: number, what: T): T[] => Array.from({ length: count }, () => what);
const startsOf = async (runIds: readonly string[]) =>
  (await markers.starts()).filter((start) => runIds.includes(start.runId));

describe('an agent with a small queue', () => {
  it('that was away gets fifty runs that waited for it as it has room: none is rejected, each runs once', async () => {
    await small.stop();
    const runs: string[] = [];
    for (let i = 0; i < 50; i++) runs.push(await submit(0, { wait: true }));
    small = await small.restart();
    expect(await endsOf(runs)).toEqual(times(50, 'succeeded'));
    expect(await startsOf(runs)).toHaveLength(50);
  });

  it('gets fifty runs that are submitted at once as it has room; meanwhile the others are queued, not refused', async () => {
    const runs = await Promise.all(times(50, 100).map((ms) => submit(ms)));
    const states = await Promise.all(runs.map(stateOf));
    expect(states.filter((state) => state === 'queued').length).toBeGreaterThan(20);
    expect(await endsOf(runs)).toEqual(times(50, 'succeeded'));
    expect(await startsOf(runs)).toHaveLength(50);
  });

  it('lets a run expire whose time to live passes before there is room, and never starts it', async () => {
    const long = await Promise.all(times(5, 1_500).map((ms) => submit(ms)));
    const short = await submit(0, { ttlMs: 1_000 });
    expect(await stateOf(short)).toBe('queued');
    expect(await endOf(short)).toBe('expired TTL_EXPIRED');
    expect((await dispatchOf(short)).reason).toContain('had no room');
    expect(await endsOf(long)).toEqual(times(5, 'succeeded'));
    expect(await startsOf([short])).toEqual([]);
  });

  it('never sees a run that is cancelled before there is room', async () => {
    const long = await Promise.all(times(5, 1_000).map((ms) => submit(ms)));
    const cancelled = await submit(0);
    const after = await submit(0);
    await server.operator.cancel(cancelled);
    expect(await endOf(cancelled)).toBe('cancelled TASK_CANCELLED');
    expect(await endsOf([...long, after])).toEqual(times(6, 'succeeded'));
    expect(await startsOf([cancelled])).toEqual([]);
  });

  it('that is killed while more waits for it than it takes gets the rest when it is back', async () => {
    const runs = await Promise.all(times(30, 50).map((ms) => submit(ms)));
    await eventually(async () => (await startsOf(runs)).length >= 5, { what: 'five starts' });
    await small.kill9();
    small = await small.restart();
    const ends = await endsOf(runs);
    // Two ran when it died.
    const lost = ends.filter((end) => end === 'lost AGENT_RESTARTED').length;
    expect(lost).toBeLessThanOrEqual(2);
    expect(ends.filter((end) => end === 'succeeded')).toHaveLength(30 - lost);
    expect(new Set((await startsOf(runs)).map((start) => start.runId)).size).toBe((await startsOf(runs)).length);
  });
});

describe('the server', () => {
  it('hands over one more for each result that it has committed, and the oldest first', async () => {
    await small.stop();
    const agent = bareAgent(server.agentPort, await readIdentity(small.dataDir));
    let seq = 0n;
    const beat = () => agent.send({ kind: { $case: 'heartbeat', value: Heartbeat.create({ seq: ++seq }) } });
    const beating = setInterval(beat, 300);
    try {
      agent.hello({ capacity: 1, queueLimit: 1, facts: { 'interpreter.bash': '/bin/bash' } });
      await agent.welcomed();
      const runs: string[] = [];
      for (let i = 0; i < 5; i++) runs.push(await submit(0));
      const got = () =>
        agent.received.flatMap(({ kind }) => (kind?.$case === 'tasks' ? kind.value.tasks.map((t) => t.runId) : []));
      for (let done = 0; done < 5; done++) {
        const has = Math.min(5, done + 2);
        await eventually(() => got().length >= has, { what: `${has} tasks` });
        // Whatever else would come comes before the answers to the heartbeats of the next half second.
        const from = seq;
        await eventually(() => seq >= from + 2n, { what: 'two heartbeats' });
        expect(got()).toEqual(runs.slice(0, has));
        report(agent, { runId: runs[done] ?? '', end: TaskEnd.TASK_END_SUCCEEDED });
      }
      expect(await endsOf(runs)).toEqual(times(5, 'succeeded'));
    } finally {
      clearInterval(beating);
      agent.close();
    }
  });
});

function report(agent: ReturnType<typeof bareAgent>, result: { runId: string; end: TaskEnd }): void {
  const results = [TaskResult.create({ ...result, acceptedUnixMs: 1n, startedUnixMs: 1n, endedUnixMs: 1n })];
  agent.send({ kind: { $case: 'taskReports', value: { accepted: [], started: [], progress: [], results } } });
}
