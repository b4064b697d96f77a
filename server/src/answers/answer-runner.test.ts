import { OpenlineError } from '@openline/proto/errors';
import type { Pool, PoolClient } from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createAlertDesk } from '../alerts/desk.ts';
import { createAlertHub } from '../alerts/hub.ts';
import { allAlerts, enrol } from '../alerts/testing.ts';
import { type Clock, systemClock } from '../clock.ts';
import { newId } from '../db/ids.ts';
import { withTestDatabase } from '../db/testing.ts';
import type { ObservedRecord, RecoveryAnswer } from '../events/event.ts';
import { createTakeIn } from '../events/take-in.ts';
import { batchFrom, detection, stateChange } from '../events/testing.ts';
import { createRunHub } from '../runs/hub.ts';
import type { DispatchView, OutputPart, RunService, RunView } from '../runs/run-service.ts';
import { type AnswerRunner, type AnswerRunnerDeps, startAnswerRunner } from './answer-runner.ts';

const db = withTestDatabase();
let now = new Date('2026-01-01T00:00:00Z');
const clock: Clock = {
  ...systemClock,
  now: () => now,
  sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 5), signal),
};
beforeEach(() => {
  now = new Date('2026-01-01T00:00:00Z');
});

interface FakeRun {
  readonly id: string;
  readonly by: string;
  readonly task: string;
  readonly key: string;
  readonly parameters: unknown;
  state: DispatchView['state'];
  exitCode: number | undefined;
  output: string;
}

/** Runs as the real service keeps them, so far as answers look at them; its rows are in the database, as the real ones are. */
function fakeRuns() {
  const hub = createRunHub();
  const all: FakeRun[] = [];
  let refusal: OpenlineError | undefined;
  const runs: AnswerRunnerDeps['runs'] = {
    async submit(by, spec, options) {
      const key = options?.idempotencyKey ?? '';
      const before = all.find((run) => run.by === by.id && run.key === key);
      if (before !== undefined) return { run: { id: before.id } as RunView, existing: true };
      if (refusal !== undefined) throw refusal;
      const { parameters, task } = spec;
      const run = {
        id: newId(),
        by: by.id,
        task,
        key,
        parameters,
        state: 'sent' as const,
        exitCode: undefined,
        output: '',
      };
      expect(spec.targets).toBe('id=a');
      await db.pool.query(
        `insert into runs (id, task, targets, pack_digest, pack_name, pack_version, task_name, parameters, timeout_ms, ttl_ms, offline,
           requested_by, principal_id, idempotency_key, request_hash, created_at, expires_at, target_count)
         values ($1, $2, '', '', '', '', '', '', 1, 1, 'wait', $3, $3, $4, '', $5, $5, 1)`,
        [run.id, task, by.id, key, now],
      );
      all.push(run);
      return { run: { id: run.id } as RunView, existing: false };
    },
    async get(runId) {
      const run = all.find(({ id }) => id === runId);
      if (run === undefined) throw new OpenlineError('RUN_UNKNOWN', 'groomed');
      const { rows } = await db.pool.query<{ ended_at: Date | null }>('select ended_at from runs where id = $1', [
        runId,
      ]);
      const dispatch = { agentId: 'a', state: run.state, exitCode: run.exitCode, reason: '' } as DispatchView;
      return { run: { id: runId, endedAt: rows[0]?.ended_at ?? undefined } as RunView, dispatches: [dispatch] };
    },
    async *readOutput({ runId }) {
      const data = Buffer.from(all.find(({ id }) => id === runId)?.output ?? '');
      yield { stream: 'stderr', data: Buffer.from('noise') } as OutputPart;
      yield { stream: 'stdout', data } as OutputPart;
    },
  };
  return {
    hub,
    runs: runs satisfies Pick<RunService, 'submit' | 'get' | 'readOutput'>,
    all,
    refuse: (error: OpenlineError | undefined) => {
      refusal = error;
    },
    async end(task: string, state: DispatchView['state'], exitCode?: number, output = '') {
      const run = all.findLast((each) => each.task === task && each.state === 'sent');
      if (run === undefined) throw new Error(`no run of ${task} is open`);
      Object.assign(run, { state, exitCode, output });
      await db.pool.query('update runs set ended_at = $2 where id = $1', [run.id, now]);
      hub.publish(run.id, undefined);
    },
  };
}

const started: AnswerRunner[] = [];
afterEach(async () => {
  for (const runner of started.splice(0)) await runner.stop();
});

function start(fakes: ReturnType<typeof fakeRuns>, pool: Pool = db.pool) {
  const failures: unknown[] = [];
  const alerts = createAlertDesk({ pool, hub: createAlertHub(), clock, maintenanceOf: async () => new Map() });
  const runner = startAnswerRunner({
    pool,
    runs: fakes.runs,
    hub: fakes.hub,
    alerts,
    clock,
    newId,
    onFailure: (error) => failures.push(error),
    observe() {},
  });
  started.push(runner);
  const takeIn = createTakeIn({ pool: db.pool, alerts, clock, newId });
  let seq = 0;
  return {
    runner,
    failures,
    /** The agent says it, and everything that can happen at once has happened. */
    async say(...records: ((seq: number) => ObservedRecord)[]) {
      await enrol(db.pool, 'a').catch(() => {});
      await takeIn([
        batchFrom(
          'a',
          records.map((record) => ({ ...record(++seq), at: now })),
        ),
      ]);
      await runner.idle();
    },
  };
}

const look = { task: 'p/look', parametersJson: '{"deep":true}', cooldownMs: 60_000 };
const recovery = (task: string, when = '', most = 1): RecoveryAnswer => ({
  task,
  parametersJson: '{}',
  cooldownMs: 1_000,
  when,
  most,
});
const ill =
  (over: Parameters<typeof stateChange>[2] = {}) =>
  (seq: number) =>
    stateChange(seq, 'critical', { at: now, ...over });
const well = (seq: number) => stateChange(seq, 'healthy', { at: now });
const history = async () =>
  (
    await db.pool.query<{ by: string; comment: string }>(
      `select by, comment from alert_changes where kind = 'answered' order by id`,
    )
  ).rows.map(({ by, comment }) => `${by}: ${comment.replace(/[0-9a-f-]{36}/, 'RUN')}`);
const tasks = (fakes: ReturnType<typeof fakeRuns>) => fakes.all.map(({ task }) => task);

describe('the response of a rule', () => {
  const fires =
    (over: Parameters<typeof detection>[1] = {}) =>
    (seq: number) =>
      detection(seq, { run: look, ...over });

  it('is a run on that agent by the rule, which the alert tells of from its start to its end', async () => {
    const fakes = fakeRuns();
    const { say, runner } = start(fakes);
    await say(fires());
    expect(fakes.all).toMatchObject([{ by: 'rule:p/r', task: 'p/look', parameters: { deep: true } }]);
    await fakes.end('p/look', 'failed', 3);
    await runner.idle();
    expect(await history()).toEqual([
      'rule:p/r: response p/look was started as run RUN',
      'rule:p/r: response p/look has ended: failed (exit code 3)',
    ]);
  });

  it('is run once within its cool-down, however often the rule fires', async () => {
    const fakes = fakeRuns();
    const { say } = start(fakes);
    await say(fires(), fires(), fires());
    now = new Date(now.getTime() + 59_999);
    await say(fires());
    expect(tasks(fakes)).toEqual(['p/look']);
    now = new Date(now.getTime() + 1);
    await say(fires());
    expect(tasks(fakes)).toEqual(['p/look', 'p/look']);
  });

  it('that cannot be run is said in the alert', async () => {
    const fakes = fakeRuns();
    fakes.refuse(new OpenlineError('TASK_UNKNOWN', 'pack «p» has no task «look»'));
    await start(fakes).say(fires());
    expect(await history()).toEqual([
      'rule:p/r: response p/look was not run: [TASK_UNKNOWN] pack «p» has no task «look»',
    ]);
  });

  it('to what happened long ago is not given', async () => {
    const fakes = fakeRuns();
    const { say } = start(fakes);
    await enrol(db.pool, 'a');
    const at = new Date(now.getTime() - 16 * 60_000);
    await createTakeIn({
      pool: db.pool,
      alerts: createAlertDesk({ pool: db.pool, hub: createAlertHub(), clock, maintenanceOf: async () => new Map() }),
      clock,
      newId,
    })([batchFrom('a', [{ ...fires()(1), at }])]);
    await say();
    expect(tasks(fakes)).toEqual([]);
    expect(await allAlerts(db.pool)).toHaveLength(1);
  });
});

describe('a monitor that gets worse', () => {
  const recoveries = [
    recovery('p/clean', 'diagnostic.exit_code == 3 && diagnostic.output.contains("logs")'),
    recovery('p/restart'),
  ];

  it('has its diagnostic run, and then the recovery that its outcome chooses', async () => {
    const fakes = fakeRuns();
    const { say, runner } = start(fakes);
    await say(ill({ diagnostic: look, recoveries }));
    expect(tasks(fakes)).toEqual(['p/look']);
    await fakes.end('p/look', 'failed', 3, 'many logs');
    await runner.idle();
    expect(fakes.all.map(({ by, task }) => `${by} ${task}`)).toEqual([
      'monitor:p/disk p/look',
      'monitor:p/disk p/clean',
    ]);
    await fakes.end('p/clean', 'succeeded', 0);
    await runner.idle();
    expect(await history()).toEqual([
      'monitor:p/disk: diagnostic p/look was started as run RUN',
      'monitor:p/disk: diagnostic p/look has ended: failed (exit code 3)',
      'monitor:p/disk: recovery p/clean was started as run RUN',
      'monitor:p/disk: recovery p/clean has ended: succeeded',
    ]);
  });

  it('without a diagnostic has its recovery run at once', async () => {
    const fakes = fakeRuns();
    await start(fakes).say(ill({ recoveries }));
    expect(tasks(fakes)).toEqual(['p/restart']);
  });

  it('and is healthy again before the diagnostic ends needs no recovery, which the closed alert says', async () => {
    const fakes = fakeRuns();
    const { say, runner } = start(fakes);
    await say(ill({ diagnostic: look, recoveries }));
    await say(well);
    await fakes.end('p/look', 'succeeded', 0);
    await runner.idle();
    expect(tasks(fakes)).toEqual(['p/look']);
    expect((await history()).at(-1)).toBe('monitor:p/disk: recovery was not run: the monitor is healthy again');
    expect((await allAlerts(db.pool))[0]?.state).toBe('closed');
  });

  it('never loops: a recovery that helps for a moment only is run as often as the pack allows, and not within its cool-down', async () => {
    const fakes = fakeRuns();
    const { say, runner } = start(fakes);
    const slow = [{ ...recovery('p/restart', '', 2), cooldownMs: 600_000 }];
    for (let i = 0; i < 20; i++) {
      await say(ill({ recoveries: slow }));
      if (fakes.all.at(-1)?.state === 'sent') await fakes.end('p/restart', 'succeeded', 0);
      await runner.idle();
      await say(well);
      now = new Date(now.getTime() + 60_000);
    }
    expect(tasks(fakes)).toEqual(['p/restart', 'p/restart']);
    // Within one spell it is the number that bounds it.
    now = new Date(now.getTime() + 3600_000);
    for (let i = 0; i < 6; i++) {
      await say((seq) => stateChange(seq, 'warning', { recoveries: [recovery('p/other', '', 2)] }));
      await say((seq) => stateChange(seq, 'unknown'));
      now = new Date(now.getTime() + 3600_000);
    }
    expect(tasks(fakes).filter((task) => task === 'p/other')).toHaveLength(2);
  });
});

describe('a process that is killed between any two of its steps', () => {
  const chain = ill({ diagnostic: look, recoveries: [recovery('p/restart')] });

  /** @returns whether it lived to the end */
  async function diesAfter(statements: number): Promise<boolean> {
    await db.pool.query('truncate agents, alerts, answers, events, runs cascade');
    const fakes = fakeRuns();
    const dying = dyingPool(db.pool, statements);
    const first = start(fakes, dying.pool);
    await enrol(db.pool, 'a');
    const desk = createAlertDesk({ pool: db.pool, hub: createAlertHub(), clock, maintenanceOf: async () => new Map() });
    await createTakeIn({ pool: db.pool, alerts: desk, clock, newId })([batchFrom('a', [chain(1)])]);
    const finish = async (runner: AnswerRunner) => {
      for (const task of ['p/look', 'p/restart']) {
        await runner.idle();
        if (fakes.all.some((run) => run.task === task && run.state === 'sent')) await fakes.end(task, 'succeeded', 0);
      }
      await runner.idle();
      await runner.stop();
    };
    await finish(first.runner);
    await finish(start(fakes).runner);
    expect(tasks(fakes)).toEqual(['p/look', 'p/restart']);
    expect(await history()).toEqual([
      'monitor:p/disk: diagnostic p/look was started as run RUN',
      'monitor:p/disk: diagnostic p/look has ended: succeeded',
      'monitor:p/disk: recovery p/restart was started as run RUN',
      'monitor:p/disk: recovery p/restart has ended: succeeded',
    ]);
    return dying.lives();
  }

  it('is followed by one that goes on: nothing is run twice, nothing told twice, nothing left out', async () => {
    let statements = 0;
    while (!(await diesAfter(statements))) statements++;
    // Each of the six steps has several.
    expect(statements).toBeGreaterThan(30);
  }, 60_000);
});

/** A database that answers so many statements, carries out one more without answering it, and none after that. */
function dyingPool(pool: Pool, statements: number): { pool: Pool; lives(): boolean } {
  let left = statements;
  const dead = () => Object.assign(new Error('killed'), { code: '57P01' });
  const mortal =
    (query: (...given: unknown[]) => Promise<unknown>) =>
    async (...given: unknown[]) => {
      if (left < 0) throw dead();
      const answer = await query(...given);
      if (left-- === 0) throw dead();
      return answer;
    };
  const mortalPool = new Proxy(pool, {
    get(target, name) {
      if (name === 'query') return mortal(target.query.bind(target) as never);
      if (name !== 'connect') return Reflect.get(target, name);
      return async () => {
        const client: PoolClient = await target.connect();
        const query = mortal(client.query.bind(client) as never);
        return {
          query,
          // What was begun and not committed is lost with the process.
          release: () => void client.query('rollback').finally(() => client.release()),
        };
      };
    },
  });
  return { pool: mortalPool, lives: () => left >= 0 };
}
