import { type Kysely, sql } from 'kysely';

/** Lines that are lost, maintenance, and resets of monitors that wait for their agent. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    -- What a restart of the server must not forget of lines: those that are down, and those whose agent was stopped. All others are found out anew.
    create table agent_lines (
      agent_id text primary key references agents on delete cascade,
      -- How it was lost, what is known of the reason, and when it was last heard.
      ended text not null check (ended in ('stopped', 'broken', 'silent', 'unseen')),
      why text not null,
      since timestamptz not null,
      -- Which alert tells of it; empty: it was stopped, and is within its time.
      cover text not null check (cover in ('', 'own', 'outage', 'none')),
      -- Its own alert was raised while it was in maintenance.
      suppressed boolean not null,
      -- What was found out of the cause.
      verdict text not null,
      -- The group whose outage it is part of, "label=value".
      outage text not null
    );

    create table maintenances (
      id text primary key,
      -- The MaintenanceWindow that it is an occurrence of; empty: a person started it.
      window_name text not null default '',
      selector text not null,
      reason text not null,
      started_by text not null,
      created_at timestamptz not null,
      starts_at timestamptz not null,
      -- As planned; moves when it is extended.
      ends_at timestamptz not null,
      -- When it really ended, and who ended it before its time.
      ended_at timestamptz,
      ended_by text not null default ''
    );
    -- An occurrence is made once, whoever comes first, and not again when a person has ended it.
    create unique index maintenances_window on maintenances (window_name, starts_at) where window_name <> '';
    create index maintenances_open on maintenances (starts_at) where ended_at is null;
    create index maintenances_ended on maintenances (ended_at) where ended_at is not null;

    -- Alerts that were raised under a maintenance: nobody was notified of them.
    create table maintenance_alerts (
      maintenance_id text not null references maintenances on delete cascade,
      alert_id bigint not null references alerts on delete cascade,
      primary key (maintenance_id, alert_id)
    );
    create index maintenance_alerts_alert on maintenance_alerts (alert_id);

    create table monitor_resets (
      id text primary key,
      agent_id text not null references agents on delete cascade,
      pack text not null,
      monitor text not null,
      -- Empty: every instance.
      instance text not null,
      requested_by text not null,
      requested_at timestamptz not null,
      expires_at timestamptz not null,
      -- The states that it is to end: instance → since when. When none of them lasts, it is done.
      ends jsonb not null,
      closed_at timestamptz,
      -- done, expired, or replaced by a later one of the same monitor.
      outcome text not null default ''
    );
    create unique index monitor_resets_open on monitor_resets (agent_id, pack, monitor, instance) where closed_at is null;
    create index monitor_resets_closed on monitor_resets (closed_at) where closed_at is not null;
  `.execute(db);
}
