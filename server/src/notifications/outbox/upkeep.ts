import type { Query } from '../../db/query.ts';

/** What time alone does to the outbox. */

/** Gives up what waits for a channel that is not there any more. @returns how many */
export async function giveUpOrphans(query: Query, now: Date): Promise<number> {
  // The table and not what is in memory: another replica may have declared the channel a moment ago.
  const { rowCount } = await query(
    `update notifications n set state = 'dead', ended_at = $1, reason = 'the channel was deleted'
     where state = 'pending' and due_at <= $1
       and not exists (select from declared d where d.kind = 'Channel' and d.name = n.channel)`,
    [now],
  );
  return rowCount ?? 0;
}

const PIECE = 5_000;

/** Deletes what ended long ago, a piece at a time. */
export async function groomNotifications(query: Query, endedBefore: Date, deadBefore: Date): Promise<void> {
  for (let deleted = PIECE; deleted === PIECE; ) {
    const { rowCount } = await query(
      `with old as (
         select id from notifications
         where (ended_at < $1 and state in ('sent', 'cancelled')) or (ended_at < $2 and state in ('dead', 'uncertain'))
         order by ended_at limit ${PIECE})
       delete from notifications n using old where n.id = old.id`,
      [endedBefore, deadBefore],
    );
    deleted = rowCount ?? 0;
  }
  // Of alerts that went with their agent, without a word.
  await query(
    `delete from notification_threads t
     where not exists (select from alerts a where a.id = t.alert_id and a.closed_at is null)`,
  );
}
