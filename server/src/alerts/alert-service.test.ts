import { beforeEach, describe, expect, it } from 'vitest';
import { createAuditLog } from '../audit/audit-log.ts';
import { newId } from '../db/ids.ts';
import { withTestDatabase } from '../db/testing.ts';
import { createTakeIn, type TakeIn } from '../events/take-in.ts';
import { batchFrom, detection, nodeEvent, stateChange } from '../events/testing.ts';
import type { AlertFilter } from './alert-queries.ts';
import { type AlertService, type AlertWatchItem, createAlertService } from './alert-service.ts';
import type { AlertDesk } from './alerts.ts';
import { AT, allAlerts, enrol, raiseOf, testDesk } from './testing.ts';

const db = withTestDatabase();
let desk: AlertDesk;
let service: AlertService;
let takeIn: TakeIn;
const ada = { name: 'ada' };
const any: AlertFilter = { states: [], severities: [], targets: '', watch: '', text: '', owner: '' };
const open: AlertFilter = { ...any, states: ['new', 'acknowledged'] };

beforeEach(async () => {
  ({ desk } = testDesk(db.pool));
  service = createAlertService({ pool: db.pool, db: db.kysely, desk, audit: createAuditLog({ db: db.kysely }) });
  takeIn = createTakeIn({ pool: db.pool, alerts: desk, clock: { now: () => AT }, newId });
  await enrol(db.pool, 'web-1', { role: 'web' });
  await enrol(db.pool, 'db-1', { role: 'db' });
});

/** Raises one for each; @returns their ids */
async function raised(...over: Parameters<typeof raiseOf>[1][]): Promise<string[]> {
  const { alerts } = await desk.apply(
    over.map((one, i) =>
      raiseOf('web-1', {
        subject: { kind: 'rule', agentId: 'web-1', watch: 'p/r', key: `k${i}` },
        ...one,
      }),
    ),
  );
  return alerts.map((alert) => alert?.id ?? '');
}

describe('listing alerts', () => {
  it('shows the newest first, page by page', async () => {
    const ids = await raised({}, {}, {});
    const first = await service.list(any, { limit: 2, pageToken: '' });
    expect(first.alerts.map(({ id }) => id)).toEqual([ids[2], ids[1]]);
    const rest = await service.list(any, { limit: 2, pageToken: first.nextPageToken });
    expect([rest.alerts.map(({ id }) => id), rest.nextPageToken]).toEqual([[ids[0]], '']);
    await expect(service.list(any, { limit: 2, pageToken: "1' or" })).rejects.toMatchObject({
      code: 'REQUEST_INVALID',
    });
  });

  it('shows those that are meant', async () => {
    const [a = '', b = '', c = ''] = await raised(
      { severity: 'critical', title: 'Disk 100% full' },
      { subject: { kind: 'rule', agentId: 'db-1', watch: 'linux/oom', key: '' } },
      { subject: { kind: 'line', agentId: '', watch: 'group', key: 'zone=a' }, group: { name: 'zone a', labels: {} } },
    );
    await service.act(ada, [b], { kind: 'acknowledge', comment: '' });
    await service.act(ada, [c], { kind: 'close', comment: '' });
    const shown = async (filter: Partial<AlertFilter>) =>
      (await service.list({ ...any, ...filter }, { limit: 9, pageToken: '' })).alerts.map(({ id }) => id);
    expect(await shown({})).toEqual([c, b, a]);
    expect(await shown({ states: ['new', 'acknowledged'] })).toEqual([b, a]);
    expect(await shown({ states: ['closed'] })).toEqual([c]);
    expect(await shown({ severities: ['critical'] })).toEqual([a]);
    expect(await shown({ targets: 'role=web' })).toEqual([a]);
    expect(await shown({ targets: 'all' })).toEqual([b, a]);
    expect(await shown({ watch: 'linux' })).toEqual([b]);
    expect(await shown({ watch: 'linux/oom' })).toEqual([b]);
    expect(await shown({ watch: 'lin' })).toEqual([]);
    expect(await shown({ watch: 'group' })).toEqual([c]);
    expect(await shown({ text: 'disk 100%' })).toEqual([a]);
    expect(await shown({ text: '1_0' })).toEqual([]);
    expect(await shown({ text: 'DB-1' })).toEqual([b]);
    expect(await shown({ owner: 'ada' })).toEqual([b]);
    await expect(shown({ targets: 'role in' })).rejects.toMatchObject({ code: 'TARGETS_INVALID' });
  });
});

describe('one alert', () => {
  it('is shown with its history, the oldest first, and the events behind it, the newest first', async () => {
    const [id = ''] = await raised({ behind: [nodeEvent('one'), nodeEvent('two')] });
    await service.act(ada, [id], { kind: 'acknowledge', comment: 'mine' });
    await service.act(ada, [id], { kind: 'assign', owner: 'bob', comment: '' });
    const { alert, history, events } = await service.get(id);
    expect(alert).toMatchObject({ id, state: 'acknowledged', owner: 'bob' });
    expect(history.map(({ kind, by, comment, owner }) => [kind, by, comment, owner])).toEqual([
      ['raised', 'p/r', '', ''],
      ['acknowledged', 'ada', 'mine', 'ada'],
      ['assigned', 'ada', '', 'bob'],
    ]);
    expect(events.map(({ message }) => message)).toEqual(['two', 'one']);
  });
  it('that does not exist is not found, whatever is asked for', async () => {
    for (const id of ['999', '0', 'x', '1e3', '99999999999999999999']) {
      await expect(service.get(id)).rejects.toMatchObject({ code: 'ALERT_UNKNOWN' });
    }
  });
});

describe('what people do to alerts', () => {
  it('is done to all of them, and audited with who did it', async () => {
    const ids = await raised({}, {});
    const { alerts, notes } = await service.act(ada, [...ids, ...ids], { kind: 'close', comment: 'done' });
    expect(alerts.map(({ state }) => state)).toEqual(['closed', 'closed']);
    expect(notes).toEqual([]);
    const { rows } = await db.pool.query('select principal, action, object, details from audit');
    expect(rows).toEqual([
      { principal: 'ada', action: 'alert.close', object: ids.join(','), details: { comment: 'done' } },
    ]);
  });
  it('is done to none when one of them does not exist', async () => {
    const [id = ''] = await raised({});
    const asked = service.act(ada, [id, '999', 'nonsense'], { kind: 'close', comment: '' });
    await expect(asked).rejects.toThrow('there is no alert «999», «nonsense»; nothing was changed');
    expect((await allAlerts(db.pool))[0]?.state).toBe('new');
  });
  it('is said to be nothing where there was nothing to do, and is not audited then', async () => {
    const [id = ''] = await raised({});
    await service.act(ada, [id], { kind: 'close', comment: '' });
    const { notes } = await service.act(ada, [id], { kind: 'acknowledge', comment: '' });
    expect(notes).toEqual([{ id, note: 'it is closed', changed: false }]);
    expect((await db.pool.query('select 1 from audit')).rowCount).toBe(1);
  });
});

describe('closing the alert of a monitor that is ill', () => {
  const say = (seq: number, to: 'healthy' | 'warning' | 'critical') =>
    takeIn([batchFrom('web-1', [stateChange(seq, to)])]);
  const states = async () => (await allAlerts(db.pool)).map(({ state, severity }) => `${state} ${severity}`);

  it('is allowed, says so, and raises none again until it got worse', async () => {
    await say(1, 'warning');
    const [{ id } = { id: '' }] = await allAlerts(db.pool);
    const { notes } = await service.act(ada, [id], { kind: 'close', comment: '' });
    expect(notes).toEqual([
      {
        id,
        note: 'p/disk (/) on web-1 is still warning; it raises no other alert until it was healthy, or got worse',
        changed: true,
      },
    ]);
    await say(2, 'warning');
    expect(await states()).toEqual(['closed warning']);
    await say(3, 'critical');
    expect(await states()).toEqual(['closed warning', 'new critical']);
  });
  it('or until it was healthy', async () => {
    await say(1, 'critical');
    await service.act(ada, [(await allAlerts(db.pool))[0]?.id ?? ''], { kind: 'close', comment: '' });
    await say(2, 'warning');
    expect(await states()).toEqual(['closed critical']);
    await say(3, 'healthy');
    await say(4, 'warning');
    expect(await states()).toEqual(['closed critical', 'new warning']);
  });
  it('twice does not hush what was raised since', async () => {
    await say(1, 'warning');
    const [{ id } = { id: '' }] = await allAlerts(db.pool);
    await service.act(ada, [id], { kind: 'close', comment: '' });
    await say(2, 'critical');
    const { notes } = await service.act(ada, [id], { kind: 'close', comment: '' });
    expect(notes).toEqual([{ id, note: 'it was closed before', changed: false }]);
    expect((await db.pool.query('select hushed from monitor_states')).rows).toEqual([{ hushed: 0 }]);
  });
});

describe('watching alerts', () => {
  const told = (item: AlertWatchItem | undefined) =>
    item?.kind === 'snapshot'
      ? `snapshot ${item.alerts.map(({ id }) => id).join(' ')}${item.first ? ' first' : ''}${item.last ? ' last' : ''}`
      : `${item?.change.kind} ${item?.alert.id} ${item?.alert.state}${item?.matches ? '' : ' gone'}`;

  function watch(filter = open) {
    const stop = new AbortController();
    const items = service.watch(filter, stop.signal)[Symbol.asyncIterator]();
    return {
      next: async () => told((await items.next()).value),
      async stop() {
        stop.abort();
        return (await items.next()).done;
      },
    };
  }

  it('begins with what matches, and goes on with what changes: also that an alert matches no more', async () => {
    const [a = ''] = await raised({});
    const watcher = watch();
    expect(await watcher.next()).toBe(`snapshot ${a} first last`);
    const [b = ''] = await raised({ subject: { kind: 'rule', agentId: 'db-1', watch: 'p/r', key: '' } });
    expect(await watcher.next()).toBe(`raised ${b} new`);
    await raised({});
    expect(await watcher.next()).toBe(`repeated ${a} new`);
    await service.act(ada, [a], { kind: 'close', comment: '' });
    expect(await watcher.next()).toBe(`closed ${a} closed gone`);
    await service.act(ada, [a], { kind: 'comment', comment: 'nobody who watches open ones needs this' });
    await service.act(ada, [b], { kind: 'acknowledge', comment: '' });
    expect(await watcher.next()).toBe(`acknowledged ${b} acknowledged`);
    expect(await watcher.stop()).toBe(true);
  });

  it('tells only of those that are meant', async () => {
    const watcher = watch({ ...open, targets: 'role=db' });
    expect(await watcher.next()).toBe('snapshot  first last');
    await raised({});
    const [b] = await raised({ subject: { kind: 'rule', agentId: 'db-1', watch: 'p/r', key: '' } });
    expect(await watcher.next()).toBe(`raised ${b} new`);
  });

  it('by a reader that is too slow begins anew, and nothing is kept for it without bound', async () => {
    const watcher = watch();
    await watcher.next();
    const [a] = await raised({});
    await takeIn([
      batchFrom(
        'db-1',
        Array.from({ length: 900 }, (_, i) => detection(i + 1)),
      ),
    ]);
    for (let n = 1; n < 3; n++)
      await takeIn([
        batchFrom(
          'db-1',
          Array.from({ length: 900 }, (_, i) => detection(n * 900 + i + 1)),
        ),
      ]);
    expect(await watcher.next()).toBe(`snapshot ${Number(a) + 1} ${a} first last`);
  });

  it('of very many comes in pieces', async () => {
    await raised(...Array.from({ length: 499 }, () => ({})));
    await raised(
      ...Array.from({ length: 300 }, (_, i) => ({
        subject: { kind: 'rule' as const, agentId: 'db-1', watch: 'p/x', key: `k${i}` },
      })),
    );
    const watcher = watch();
    const pieces = [await watcher.next(), await watcher.next()];
    expect(pieces.map((piece) => piece.split(' ').length)).toEqual([502, 301]);
  });
});
