import { type Kysely, sql } from 'kysely';

/**
 * What people declared, and the outbox: every message that is to be, was or could not be handed to a mail server, a chat, a webhook, a program.
 * Ids of notifications are UUIDv7 text. JSON that nobody queries is text.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table declared (
      kind text not null,
      name text not null,
      -- As written, without comments; source is the document itself, and what is read again at each start.
      spec jsonb not null,
      source text not null,
      updated_by text not null,
      updated_at timestamptz not null,
      primary key (kind, name)
    );
    -- One row: raised by every change, so that other replicas notice, and locked by whoever makes one.
    create table declared_revision (revision bigint not null);
    insert into declared_revision values (0);

    create table notifications (
      id text primary key,
      seq bigint generated always as identity unique,
      -- Hash of what may be told only once: subscription, step, channel, recipients, change.
      dedupe text not null unique,
      kind text not null,
      subscription text not null,
      -- 0: at first; from 1 on: that step of the escalation.
      step smallint not null,
      channel text not null,
      channel_kind text not null,
      recipients text[] not null,
      -- Hash of alert, channel and recipients: what has the same thread is sent in its order.
      thread text not null,
      -- The first message of the thread, which later ones answer.
      root_id text not null,
      -- null: a digest.
      alert_id bigint,
      state text not null default 'pending'
        check (state in ('pending', 'sending', 'handing_over', 'sent', 'dead', 'uncertain', 'cancelled')),
      -- Cancelled when the alert no longer is that before it is sent.
      condition text not null default '' check (condition in ('', 'open', 'unacknowledged')),
      due_at timestamptz not null,
      -- It waits for a time of day, and not for a time to pass: when somebody moves the clock, it does not move with it.
      by_wall_clock boolean not null default false,
      try_at timestamptz not null,
      attempts integer not null default 0,
      -- The process that is sending it, and until when it is believed.
      claimed_by text not null default '',
      lease_until timestamptz,
      -- Why it is in its state, and what the other side said.
      reason text not null default '',
      answer text not null default '',
      created_at timestamptz not null default now(),
      ended_at timestamptz
    ) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
    create index notifications_ready on notifications (channel, try_at, seq) where state = 'pending';
    create index notifications_thread on notifications (thread, seq) where state in ('pending', 'sending', 'handing_over');
    create index notifications_conditional on notifications (alert_id) where state = 'pending' and condition <> '';
    create index notifications_claimed on notifications (claimed_by) where state in ('sending', 'handing_over');
    create index notifications_dead on notifications (seq) where state in ('dead', 'uncertain');
    create index notifications_root on notifications (root_id) where state = 'pending';
    create index notifications_ended on notifications (ended_at) where ended_at is not null;

    -- What a message speaks of: one change, or all those of a digest, each as it was when it happened.
    create table notification_items (
      notification_id text not null references notifications on delete cascade,
      change_id bigint not null,
      alert_id bigint not null,
      payload text not null,
      primary key (notification_id, change_id)
    );
    create index notification_items_alert on notification_items (alert_id);

    -- Who is told of an open alert. Gone once it is closed.
    create table notification_threads (
      alert_id bigint not null,
      subscription text not null,
      step smallint not null,
      channel text not null,
      channel_kind text not null,
      recipients text[] not null,
      root_id text not null,
      change_id bigint not null,
      primary key (alert_id, subscription, step, channel, recipients)
    );
  `.execute(db);
}
