import { SEVERITIES } from '@openline/packs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { withTestDatabase } from '../db/testing.ts';
import { inTransaction } from '../db/transaction.ts';
import type { AlertChange } from './alert.ts';
import type { AlertAction } from './alerts.ts';
import { MORE_KEY } from './desk.ts';
import { type AlertLife, act } from './machine.ts';
import { AT, allAlerts, enrol, raiseOf, testDesk } from './testing.ts';

const db = withTestDatabase();
const history = async (alertId: string) =>
  (await db.pool.query('select kind, by, comment from alert_changes where alert_id = $1 order by id', [alertId])).rows;
const event = (message: string) => ({
  log: 'agent',
  source: 's',
  id: '7',
  level: 'error' as const,
  atUnixMs: AT.getTime(),
  message,
  data: { a: '\u0000' },
});

describe('raising alerts', () => {
  it('opens one for each subject, with the name and the labels of its agent', async () => {
    await enrol(db.pool, 'a', { role: 'web' });
    await enrol(db.pool, 'b');
    const { desk } = testDesk(db.pool);
    const { changes, alerts } = await desk.apply([raiseOf('a'), raiseOf('b', { severity: 'critical' })]);
    expect(changes.map(({ kind, alert }) => [kind, alert.agentName, alert.severity])).toEqual([
      ['raised', 'a', 'warning'],
      ['raised', 'b', 'critical'],
    ]);
    expect(await allAlerts(db.pool)).toEqual(alerts);
    expect(alerts[0]).toMatchObject({
      labels: { role: 'web' },
      state: 'new',
      count: 1,
      firstAt: AT,
      maintenanceId: '',
    });
    expect(await history(alerts[0]?.id ?? '')).toEqual([{ kind: 'raised', by: 'p/r', comment: '' }]);
  });

  it('again counts, and is no row of the history', async () => {
    await enrol(db.pool, 'a');
    const { desk } = testDesk(db.pool);
    await desk.apply([raiseOf('a'), raiseOf('a', { times: 3 })]);
    const { changes, alerts } = await desk.apply([raiseOf('a', { times: 6 })]);
    expect(changes.map((c) => c.kind)).toEqual(['repeated']);
    expect(alerts[0]?.count).toBe(10);
    expect(await history(alerts[0]?.id ?? '')).toHaveLength(1);
  });

  it('of an agent that is gone raises nothing', async () => {
    await enrol(db.pool, 'a');
    const { desk } = testDesk(db.pool);
    const { changes, alerts } = await desk.apply([raiseOf('gone'), raiseOf('a')]);
    expect(changes).toHaveLength(1);
    expect(alerts.map((alert) => alert?.agentName)).toEqual([undefined, 'a']);
  });

  it('for a group of agents has the name and labels that were given', async () => {
    const { desk } = testDesk(db.pool);
    const subject = { kind: 'line', agentId: '', watch: 'group', key: 'zone=a' } as const;
    await desk.apply([raiseOf('', { subject, group: { name: 'zone a', labels: { zone: 'a' } } })]);
    expect(await desk.open('line')).toMatchObject([{ subject, agentName: 'zone a', labels: { zone: 'a' } }]);
  });

  it('in maintenance carries the maintenance', async () => {
    await enrol(db.pool, 'a');
    await enrol(db.pool, 'b');
    const { desk } = testDesk(db.pool, async (ids) => new Map(ids.includes('b') ? [['b', 'm1']] : []));
    await desk.apply([raiseOf('a'), raiseOf('b')]);
    expect((await allAlerts(db.pool)).map((a) => a.maintenanceId)).toEqual(['', 'm1']);
  });

  it('with keys without end is bounded: what is beyond is counted in one alert', async () => {
    await enrol(db.pool, 'a');
    const { desk } = testDesk(db.pool);
    const keyed = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, i) =>
        raiseOf('a', { subject: { kind: 'rule', agentId: 'a', watch: 'p/r', key: `k${from + i}` } }),
      );
    await desk.apply(keyed(0, 490));
    await desk.apply(keyed(480, 520));
    await desk.apply(keyed(510, 530));
    const open = await allAlerts(db.pool);
    expect(open).toHaveLength(501);
    expect(open.find((alert) => alert.subject.key === MORE_KEY)?.count).toBe(40);
    // Nothing of it is an alert of another watch's.
    const other = { kind: 'rule', agentId: 'a', watch: 'p/other', key: 'k' } as const;
    await desk.apply([raiseOf('a', { subject: other })]);
    expect((await allAlerts(db.pool)).at(-1)?.subject).toEqual(other);
  });
});

describe('the events behind an alert', () => {
  const kept = async () =>
    (await db.pool.query<{ message: string }>('select message from alert_events order by seq')).rows.map(
      (r) => r.message,
    );
  it('are the newest twenty of all that ever came', async () => {
    await enrol(db.pool, 'a');
    const { desk } = testDesk(db.pool);
    const names = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => `e${from + i}`);
    await desk.apply([
      raiseOf('a', { behind: names(0, 3).map(event) }),
      raiseOf('a', { behind: names(3, 5).map(event) }),
    ]);
    expect(await kept()).toEqual(names(0, 5));
    await desk.apply([raiseOf('a', { behind: names(5, 18).map(event) })]);
    await desk.apply([raiseOf('a', { behind: names(18, 25).map(event) })]);
    expect(await kept()).toEqual(names(5, 25));
    await desk.apply([raiseOf('a', { behind: names(25, 90).map(event) })]);
    expect(await kept()).toEqual(names(70, 90));
  });
});

describe('hooks and watchers', () => {
  it('hear of the same changes: hooks within the transaction, watchers after it', async () => {
    await enrol(db.pool, 'a');
    const { desk, published } = testDesk(db.pool);
    const seen: AlertChange[] = [];
    desk.onChanges(async (tx, changes) => {
      seen.push(...changes);
      expect(published).toEqual([]);
      const { rows } = await tx.query('select count(*) as n from alerts');
      expect(rows).toEqual([{ n: 1 }]);
      expect((await db.pool.query('select count(*) as n from alerts')).rows).toEqual([{ n: 0 }]);
      // kysely speaks on the same connection.
      expect(await tx.db.selectFrom('alerts').select('title').execute()).toEqual([{ title: 'title' }]);
    });
    await desk.apply([raiseOf('a'), raiseOf('a')]);
    expect(seen.map((c) => [c.kind, c.alert.count])).toEqual([
      ['raised', 1],
      ['repeated', 2],
    ]);
    expect(published).toEqual(seen);
    expect(seen[0]?.id).toBeLessThan(seen[1]?.id ?? 0);
  });

  it('a hook that throws undoes everything, and watchers hear nothing', async () => {
    await enrol(db.pool, 'a');
    const { desk, published } = testDesk(db.pool);
    desk.onChanges(async () => {
      throw new Error('no room in the outbox');
    });
    await expect(desk.apply([raiseOf('a')])).rejects.toThrow('no room in the outbox');
    expect(await allAlerts(db.pool)).toEqual([]);
    expect(published).toEqual([]);
  });

  it('of a transaction of somebody else’s hear when that one commits', async () => {
    await enrol(db.pool, 'a');
    const { desk, published } = testDesk(db.pool);
    await inTransaction(db.pool, async (tx) => {
      await desk.apply([raiseOf('a')], tx);
      expect(published).toEqual([]);
    });
    expect(published).toHaveLength(1);
  });
});

describe('two that raise the same at the same time', () => {
  it('open one alert, which counts both', async () => {
    await enrol(db.pool, 'a');
    const { desk } = testDesk(db.pool);
    await Promise.all(Array.from({ length: 8 }, () => desk.apply([raiseOf('a'), raiseOf('a')])));
    expect((await allAlerts(db.pool)).map((a) => a.count)).toEqual([16]);
  });
  it('in other orders of many subjects come to an end', async () => {
    for (const id of ['a', 'b', 'c', 'd']) await enrol(db.pool, id);
    const { desk } = testDesk(db.pool);
    const some = ['a', 'b', 'c', 'd'].map((id) => raiseOf(id));
    await Promise.all(Array.from({ length: 12 }, (_, i) => desk.apply(i % 2 === 0 ? some : some.toReversed())));
    expect((await allAlerts(db.pool)).map((a) => a.count)).toEqual([12, 12, 12, 12]);
  });
});

describe('what is noted in an alert', () => {
  it('stands in its history, also when it is closed', async () => {
    await enrol(db.pool, 'a');
    const { desk } = testDesk(db.pool);
    const { alerts } = await desk.apply([raiseOf('a'), { ...raiseOf('a'), kind: 'close', comment: 'gone' }]);
    const alertId = alerts[0]?.id ?? '';
    await inTransaction(db.pool, (tx) =>
      desk.note(
        [
          { alertId, by: 'rule:p/r', comment: 'run 1 ended: succeeded' },
          { alertId: '999', by: 'x', comment: 'groomed' },
        ],
        tx,
      ),
    );
    expect(await history(alertId)).toEqual([
      { kind: 'raised', by: 'p/r', comment: '' },
      { kind: 'closed', by: 'p/r', comment: 'gone' },
      { kind: 'answered', by: 'rule:p/r', comment: 'run 1 ended: succeeded' },
    ]);
    expect((await allAlerts(db.pool))[0]).toMatchObject({ state: 'closed', closedAt: AT });
  });
});

describe('sets of actions, however they are cut', () => {
  const keys = ['', 'x', 'y'];
  const action: fc.Arbitrary<AlertAction> = fc
    .record({
      key: fc.constantFrom(...keys),
      kind: fc.constantFrom('raise' as const, 'raise' as const, 'severity' as const, 'close' as const),
      severity: fc.constantFrom(...SEVERITIES),
      severityMay: fc.constantFrom('rise' as const, 'follow' as const),
      times: fc.integer({ min: 1, max: 5 }),
    })
    .map(({ key, kind, ...rest }): AlertAction => {
      const subject = { kind: 'rule', agentId: 'a', watch: 'p/r', key } as const;
      if (kind === 'raise') return raiseOf('a', { subject, ...rest });
      if (kind === 'severity') return { kind, subject, severity: rest.severity, by: 'x' };
      return { kind, subject, by: 'x', comment: '' };
    });

  it('leave in the database what the pure functions say', async () => {
    await enrol(db.pool, 'a');
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(action, { maxLength: 6 }), { maxLength: 5 }), async (batches) => {
        await db.pool.query('delete from alerts');
        const { desk } = testDesk(db.pool);
        const wanted: { life: AlertLife; key: string }[] = [];
        const open = new Map<string, number>();
        for (const batch of batches) {
          await desk.apply(batch);
          for (const one of batch) {
            const at = open.get(one.subject.key);
            const { key } = one.subject;
            const step = act(at === undefined ? undefined : wanted[at]?.life, one, AT);
            if (step === undefined) continue;
            if (at === undefined) open.set(key, wanted.push({ key, life: step.life }) - 1);
            else wanted[at] = { key, life: step.life };
            if (step.life.state === 'closed') open.delete(key);
          }
        }
        const written = await allAlerts(db.pool);
        for (const key of keys) {
          const lives = wanted.filter((each) => each.key === key).map(({ life }) => life);
          const found = written.filter(({ subject }) => subject.key === key);
          expect(found).toMatchObject(lives);
          expect(found).toHaveLength(lives.length);
        }
      }),
      { numRuns: 25 },
    );
  }, 60_000);
});

describe('an alert that is open when maintenance ends', () => {
  it('is told of once, and kept as any other', async () => {
    await enrol(db.pool, 'a');
    const { desk } = testDesk(db.pool, async () => new Map([['a', 'm1']]));
    const told: AlertChange[] = [];
    desk.onChanges(async (_tx, changes) => void told.push(...changes));
    const { alerts } = await desk.apply([raiseOf('a')]);
    expect(alerts[0]?.maintenanceId).toBe('m1');
    const { subject } = raiseOf('a');
    const surface: AlertAction = { kind: 'surface', subject, by: 'maintenance', comment: 'over' };
    await desk.apply([surface]);
    await desk.apply([surface]);
    expect(told.map(({ kind, alert }) => [kind, alert.maintenanceId])).toEqual([
      ['raised', 'm1'],
      ['surfaced', ''],
    ]);
    expect((await allAlerts(db.pool))[0]?.maintenanceId).toBe('');
    expect(await history(alerts[0]?.id ?? '')).toContainEqual({ kind: 'surfaced', by: 'maintenance', comment: 'over' });
  });
});
