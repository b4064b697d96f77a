import { type Kysely, sql } from 'kysely';

/**
 * What agents observed (events, states of monitors), the alerts that came of it, and the tasks that were run in answer.
 * Small numbers stand for states, severities and levels, so that they have an order: alerts/alert.ts and events/event.ts name them.
 * JSON that nobody queries is text: jsonb refuses what JSON allows (\\u0000).
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    -- How far the spool of each agent was taken in. Its row is locked by whoever takes in more of it, on any replica: what is decided about
    -- an agent's monitors, rules and answers is decided by one transaction at a time.
    create table event_positions (
      agent_id text primary key references agents on delete cascade,
      spool_id text not null default '',
      seq bigint not null default 0
    ) with (fillfactor = 50);

    create table monitor_states (
      agent_id text not null references agents on delete cascade,
      pack text not null,
      monitor text not null,
      instance text not null,
      state smallint not null,
      since timestamptz not null,
      reason text not null default '',
      sample text not null default '',
      -- Names one spell of ill health, from its beginning until it is healthy again; empty while it is healthy.
      spell text not null default '',
      -- The state in which a person closed its alert; 0: nobody did.
      hushed smallint not null default 0,
      primary key (agent_id, pack, monitor, instance)
    ) with (fillfactor = 80);

    create table alerts (
      id bigint generated always as identity primary key,
      kind text not null check (kind in ('rule', 'monitor', 'line')),
      agent_id text not null,
      watch text not null,
      key text not null,
      agent_name text not null,
      labels jsonb not null,
      severity smallint not null,
      title text not null,
      description text not null,
      state smallint not null,
      owner text not null default '',
      count bigint not null,
      first_at timestamptz not null,
      last_at timestamptz not null,
      closed_at timestamptz,
      maintenance_id text not null default '',
      -- How many events were ever kept behind it: the next one's slot is the rest by the number of slots.
      behind bigint not null default 0
    -- Repeats change no column that an index names: room for them in the page.
    ) with (fillfactor = 70);
    create unique index alerts_open on alerts (kind, agent_id, watch, key) where closed_at is null;
    create index alerts_agent on alerts (agent_id, id);
    create index alerts_closed on alerts (closed_at) where closed_at is not null;

    create table alert_changes (
      id bigint generated always as identity primary key,
      alert_id bigint not null references alerts on delete cascade,
      kind text not null,
      at timestamptz not null,
      by text not null,
      comment text not null,
      -- The alert after it.
      severity smallint not null,
      state smallint not null,
      owner text not null,
      count bigint not null
    );
    create index alert_changes_alert on alert_changes (alert_id, id);

    -- The newest events behind an alert: a ring of slots. They live as long as the alert, which is longer than events do.
    create table alert_events (
      alert_id bigint not null references alerts on delete cascade,
      slot smallint not null,
      seq bigint not null,
      log text not null,
      source text not null,
      event_id text not null,
      level smallint not null,
      at timestamptz not null,
      message text not null,
      data text not null,
      primary key (alert_id, slot)
    ) with (fillfactor = 70);

    -- What rules and monitors took of the logs, and what was lost of them. In the order in which it was committed here.
    create table events (
      id bigint generated always as identity primary key,
      agent_id text not null,
      log text not null,
      source text not null,
      event_id text not null,
      level smallint not null,
      at timestamptz not null,
      message text not null,
      data text not null,
      -- "pack/rule" or "pack/monitor" that took it; empty for a gap.
      watch text not null,
      alert_id bigint,
      -- Above 0: this is a gap, and so many events are missing.
      lost bigint not null default 0
    );
    create index events_at on events (at desc, id desc);
    create index events_agent on events (agent_id, at desc, id desc);
    create index events_level on events (level, at desc, id desc);

    create table answers (
      id text primary key,
      kind text not null check (kind in ('rule', 'diagnostic', 'recovery')),
      agent_id text not null references agents on delete cascade,
      watch text not null,
      instance text not null,
      spell text not null,
      alert_id bigint,
      -- Empty while it is not chosen yet which recovery it is.
      task text not null,
      parameters text not null,
      cooldown_ms bigint not null,
      -- JSON: the recoveries to choose from, and what they are chosen by.
      choice text not null default '',
      state text not null check (state in ('choosing', 'due', 'running', 'ended', 'skipped')),
      run_id text,
      outcome text not null default '',
      created_at timestamptz not null,
      started_at timestamptz,
      ended_at timestamptz
    );
    create index answers_open on answers (created_at) where ended_at is null;
    -- The last of its kind, for cool-downs, and those of one spell, for caps.
    create index answers_watch on answers (agent_id, watch, instance, created_at desc);
    create index answers_ended on answers (ended_at) where ended_at is not null;
  `.execute(db);
}
