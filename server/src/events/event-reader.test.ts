import { beforeEach, describe, expect, it } from 'vitest';
import { AT, allAlerts, enrol, raiseOf, testDesk } from '../alerts/testing.ts';
import { systemClock } from '../clock.ts';
import { newId } from '../db/ids.ts';
import { withTestDatabase } from '../db/testing.ts';
import { createEventReader, type EventFilter, type EventReader, type StoredEvent } from './event-reader.ts';
import { groom } from './groomer.ts';
import { createTakeIn, type TakeIn } from './take-in.ts';
import { batchFrom, detection, gap, nodeEvent } from './testing.ts';

const db = withTestDatabase();
let reader: EventReader;
let takeIn: TakeIn;
let stored: () => void;
let seq: number;
const any: EventFilter = { targets: '', level: undefined, log: '', source: '', watch: '', text: '', since: undefined };
const HOUR_MS = 3600_000;
const hoursAgo = (hours: number) => AT.getTime() - hours * HOUR_MS;

beforeEach(async () => {
  const listeners = new Set<() => void>();
  stored = () => {
    for (const listener of listeners) listener();
  };
  reader = createEventReader({
    db: db.kysely,
    clock: systemClock,
    onStored(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  });
  takeIn = createTakeIn({ pool: db.pool, alerts: testDesk(db.pool).desk, clock: { now: () => AT }, newId });
  seq = 0;
  await enrol(db.pool, 'web-1', { role: 'web' });
  await enrol(db.pool, 'db-1', { role: 'db' });
});

async function say(agentId: string, ...events: ReturnType<typeof nodeEvent>[]): Promise<void> {
  await takeIn([batchFrom(agentId, [detection(++seq, { events })])]);
  stored();
}
const messages = (events: readonly StoredEvent[]) => events.map(({ event }) => event.message);
const list = async (filter: Partial<EventFilter> = {}, limit = 50) =>
  messages((await reader.list({ ...any, ...filter }, { limit, pageToken: '' })).events);

describe('listing events', () => {
  it('shows the newest first by the agents’ clocks, page by page', async () => {
    await say('web-1', nodeEvent('b', { atUnixMs: hoursAgo(2) }), nodeEvent('a', { atUnixMs: hoursAgo(3) }));
    await say('web-1', nodeEvent('c', { atUnixMs: hoursAgo(1) }), nodeEvent('also b', { atUnixMs: hoursAgo(2) }));
    expect(await list()).toEqual(['c', 'also b', 'b', 'a']);
    const seen: string[] = [];
    let pageToken = '';
    do {
      const page = await reader.list(any, { limit: 1, pageToken });
      seen.push(...messages(page.events));
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(seen).toEqual(['c', 'also b', 'b', 'a']);
    await expect(reader.list(any, { limit: 1, pageToken: 'x' })).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
  });

  it('shows those that are meant', async () => {
    await say('web-1', nodeEvent('info', { level: 'info', log: 'journal' }), nodeEvent('50% FULL', { source: 'sshd' }));
    await say('db-1', nodeEvent('worst', { level: 'critical', atUnixMs: hoursAgo(5) }));
    expect(await list({ targets: 'role=db' })).toEqual(['worst']);
    expect(await list({ level: 'error' })).toEqual(['50% FULL', 'worst']);
    expect(await list({ level: 'critical' })).toEqual(['worst']);
    expect(await list({ log: 'journal' })).toEqual(['info']);
    expect(await list({ source: 'sshd' })).toEqual(['50% FULL']);
    expect(await list({ watch: 'p' })).toHaveLength(3);
    expect(await list({ watch: 'p/other' })).toEqual([]);
    expect(await list({ text: '50% full' })).toEqual(['50% FULL']);
    expect(await list({ since: new Date(hoursAgo(4)) })).toEqual(['50% FULL', 'info']);
  });

  it('shows what is missing, and whose it was when the agent is gone', async () => {
    await takeIn([batchFrom('web-1', [gap(1, { events: 7 }), gap(2, { events: 0, reason: 'overwritten' })])]);
    await db.pool.query(`delete from agents where id = 'web-1'`);
    const { events } = await reader.list(any, { limit: 9, pageToken: '' });
    expect(
      events.map(({ lost, agentId, agentName, event }) => ({ lost, agentId, agentName, message: event.message })),
    ).toEqual([
      { lost: 0, agentId: 'web-1', agentName: '', message: 'an unknown number of events are missing: overwritten' },
      { lost: 7, agentId: 'web-1', agentName: '', message: '7 events are missing: flood' },
    ]);
  });
});

describe('watching events', () => {
  it('begins with the newest ones, and goes on with what comes, once each', async () => {
    await say('web-1', nodeEvent('1'), nodeEvent('2'));
    await say('db-1', nodeEvent('not meant'));
    await say('web-1', nodeEvent('3'));
    const stop = new AbortController();
    const items = reader.watch({ ...any, targets: 'role=web' }, { newest: 2 }, stop.signal)[Symbol.asyncIterator]();
    const next = async () => messages((await items.next()).value?.events ?? []);
    expect(await next()).toEqual(['2', '3']);
    const waiting = next();
    await say('db-1', nodeEvent('not meant'));
    await say('web-1', nodeEvent('4'), nodeEvent('5', { atUnixMs: hoursAgo(9) }));
    expect(await waiting).toEqual(['4', '5']);
    await say('web-1', ...Array.from({ length: 20 }, (_, i) => nodeEvent(`${6 + i}`)));
    expect(await next()).toHaveLength(20);
    stop.abort();
    expect((await items.next()).done).toBe(true);
  });

  const watchFrom = (from: Parameters<EventReader['watch']>[1]) => {
    const items = reader.watch({ ...any, targets: 'role=web' }, from, new AbortController().signal);
    return items[Symbol.asyncIterator]();
  };
  const position = async (items: ReturnType<typeof watchFrom>) => (await items.next()).value?.position ?? -1;

  it('says at once where it is, and goes on from there: nothing twice, nothing left out', async () => {
    await say('web-1', nodeEvent('1'), nodeEvent('2'));
    await say('db-1', nodeEvent('not meant'));
    const first = watchFrom({ newest: 0 });
    const at = await position(first);
    await say('web-1', nodeEvent('3'));
    expect(messages((await first.next()).value?.events ?? [])).toEqual(['3']);
    await say('web-1', nodeEvent('4'));
    const again = watchFrom({ after: at });
    expect(await position(again)).toBe(at);
    expect(messages((await again.next()).value?.events ?? [])).toEqual(['3', '4']);
  });

  it('says another position where what came behind it is deleted, or the database is another one', async () => {
    await say('web-1', nodeEvent('1'), nodeEvent('2'), nodeEvent('3'));
    const last = await position(watchFrom({ newest: 0 }));
    await db.pool.query('delete from events where id < $1', [last]);
    expect(await position(watchFrom({ after: last - 2 }))).toBe(last - 1);
    expect(await position(watchFrom({ after: last - 1 }))).toBe(last - 1);
    expect(await position(watchFrom({ after: last + 7 }))).toBe(last);
  });
});

describe('grooming', () => {
  const clock = { ...systemClock, now: () => AT };
  const config = { eventHistoryDays: 7, maxEvents: 1_000, alertHistoryDays: 30 };
  const sweep = async (over: Partial<typeof config> = {}) => {
    while (await groom({ pool: db.pool, clock }, { ...config, ...over }));
  };

  it('takes events that are old, and of too many the oldest', async () => {
    await say(
      'web-1',
      nodeEvent('old', { atUnixMs: hoursAgo(7 * 24 + 1) }),
      nodeEvent('young', { atUnixMs: hoursAgo(7 * 24 - 1) }),
    );
    await sweep();
    expect(await list()).toEqual(['young']);
    await say('web-1', ...Array.from({ length: 15 }, (_, i) => nodeEvent(`${i}`)));
    await sweep({ maxEvents: 10 });
    expect(await list()).toEqual(Array.from({ length: 10 }, (_, i) => `${14 - i}`));
  });

  it('takes alerts that were closed long ago, whole, and leaves what is open', async () => {
    const { desk, time } = testDesk(db.pool);
    const raise = (key: string) =>
      raiseOf('web-1', { subject: { kind: 'rule', agentId: 'web-1', watch: 'p/r', key }, behind: [nodeEvent('x')] });
    const close = (key: string) => ({ ...raise(key), kind: 'close' as const, comment: '' });
    time.now = new Date(hoursAgo(31 * 24));
    await desk.apply([raise('old'), raise('open'), close('old'), raise('late')]);
    time.now = new Date(hoursAgo(29 * 24));
    await desk.apply([close('late')]);
    await sweep();
    expect((await allAlerts(db.pool)).map(({ subject }) => subject.key)).toEqual(['open', 'late']);
    for (const table of ['alert_changes', 'alert_events']) {
      const { rows } = await db.pool.query(`select count(distinct alert_id) as alerts from ${table}`);
      expect(rows).toEqual([{ alerts: 2 }]);
    }
  });
});
