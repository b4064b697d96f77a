import { beforeEach, describe, expect, it } from 'vitest';
import { createQuery, type Query } from '../../db/query.ts';
import { withTestDatabase } from '../../db/testing.ts';
import { giveUpOrphans, groomNotifications } from './upkeep.ts';

const db = withTestDatabase();
const NOW = new Date('2026-03-01T12:00:00Z');
const DAY_MS = 24 * 3600_000;
const daysAgo = (days: number) => new Date(NOW.getTime() - days * DAY_MS);
let query: Query;
beforeEach(() => {
  query = createQuery(db.pool);
});

async function add(id: string, state: string, at: Date, channel = 'mail'): Promise<void> {
  await query(
    `insert into notifications (id, dedupe, kind, subscription, step, channel, channel_kind, recipients, thread, root_id, state, due_at, try_at, ended_at)
     values ($1, $1, 'opened', 'all', 0, $4, 'smtp', '{}', $1, $1, $2, $3, $3, case when $2 = 'pending' then null else $3::timestamptz end)`,
    [id, state, at, channel],
  );
  await query('insert into notification_items values ($1, 1, 1, $2)', [id, '{}']);
}
const left = async (table = 'notifications', column = 'id') =>
  (await query<{ name: string }>(`select ${column} as name from ${table} order by 1`)).rows.map(({ name }) => name);

describe('what ended long ago', () => {
  it('is deleted with all of it; what waits for a person stays longer, and what is pending for ever', async () => {
    await add('sent-new', 'sent', daysAgo(6));
    await add('sent-old', 'sent', daysAgo(8));
    await add('cancelled-old', 'cancelled', daysAgo(8));
    await add('dead', 'dead', daysAgo(29));
    await add('dead-old', 'dead', daysAgo(31));
    await add('uncertain-old', 'uncertain', daysAgo(31));
    await add('pending-old', 'pending', daysAgo(400));
    await groomNotifications(query, daysAgo(7), daysAgo(30));
    expect(await left()).toEqual(['dead', 'pending-old', 'sent-new']);
    expect(await left('notification_items', 'notification_id')).toEqual(['dead', 'pending-old', 'sent-new']);
  });

  it('is deleted however much it is', async () => {
    await query(
      `insert into notifications (id, dedupe, kind, subscription, step, channel, channel_kind, recipients, thread, root_id, state, due_at, try_at, ended_at)
       select i::text, i::text, 'opened', 'all', 0, 'mail', 'smtp', '{}', '', '', 'sent', $1, $1, $1::timestamptz from generate_series(1, 12000) i`,
      [daysAgo(8)],
    );
    await groomNotifications(query, daysAgo(7), daysAgo(30));
    expect(await left()).toEqual([]);
  });
});

describe('what waits for a channel that was deleted', () => {
  it('is given up when it is due, so that it is seen', async () => {
    await query(
      `insert into declared (kind, name, spec, source, updated_by, updated_at) values ('Channel', 'mail', '{}', '', 'alice', now())`,
    );
    await add('mail', 'pending', daysAgo(1));
    await add('gone', 'pending', daysAgo(1), 'gone');
    await add('gone-later', 'pending', daysAgo(-1), 'gone');
    expect(await giveUpOrphans(query, NOW)).toBe(1);
    const { rows } = await query("select id, state, reason from notifications where state <> 'pending'");
    expect(rows).toEqual([{ id: 'gone', state: 'dead', reason: 'the channel was deleted' }]);
  });
});
