import { type Kysely, sql } from 'kysely';

/**
 * Ids are UUIDv7 text where people see them (agents, runs, tokens). Times are timestamptz.
 * `dispatches.state` is a small integer whose order is the order of life: see runs/dispatch.ts, the only place that names them.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`
    create table agents (
      id text primary key,
      name text not null,
      enrolled_at timestamptz not null default now(),
      enrolled_with text not null,
      -- SHA-256 of the public key of its first certificate: recognises an enrolment whose answer was lost.
      enrolled_key bytea not null default '',
      pinned_labels jsonb not null default '{}',
      labels jsonb not null default '{}',
      facts jsonb not null default '{}',
      version text not null default '',
      journal_id text not null default '',
      instance_id text not null default '',
      epoch bigint not null default 0,
      online boolean not null default false,
      connected_at timestamptz,
      last_seen_at timestamptz,
      remote_address text not null default '',
      certificate_expires_at timestamptz,
      revoked_at timestamptz,
      revoked_reason text not null default ''
    ) with (fillfactor = 70);
    -- A name belongs to one agent that is not revoked.
    create unique index agents_name on agents (name) where revoked_at is null;

    create table tokens (
      id text primary key,
      kind text not null check (kind in ('operator', 'join')),
      name text not null,
      role text not null default '' check (role in ('', 'viewer', 'operator', 'admin')),
      secret_hash bytea not null unique,
      labels jsonb not null default '{}',
      created_by text not null,
      created_at timestamptz not null default now(),
      expires_at timestamptz,
      revoked_at timestamptz,
      last_used_at timestamptz,
      used_by_agent text
    );

    create table packs (
      digest bytea primary key,
      name text not null,
      version text not null,
      content bytea not null,
      signature text not null,
      key_id text not null,
      pushed_by text not null,
      pushed_at timestamptz not null default now(),
      -- The one version of the name that agents should hold.
      wanted boolean not null,
      unique (name, version)
    );
    create unique index packs_wanted on packs (name) where wanted;

    create table agent_packs (
      agent_id text not null references agents on delete cascade,
      digest bytea not null references packs on delete cascade,
      ready boolean not null,
      reason_code text not null default '',
      reason text not null default '',
      primary key (agent_id, digest)
    );

    create table runs (
      id text primary key,
      task text not null,
      targets text not null,
      pack_digest bytea not null,
      pack_name text not null,
      pack_version text not null,
      task_name text not null,
      -- JSON text, as validated: the bytes that are sent.
      parameters text not null,
      timeout_ms bigint not null,
      ttl_ms bigint not null,
      offline text not null check (offline in ('fail', 'wait')),
      requested_by text not null,
      principal_id text not null,
      idempotency_key text,
      request_hash bytea not null,
      retry_of text,
      created_at timestamptz not null,
      expires_at timestamptz not null,
      cancelled_at timestamptz,
      cancelled_by text not null default '',
      -- Both are set when the last dispatch has ended.
      ended_at timestamptz,
      counts jsonb,
      target_count integer not null
    );
    create unique index runs_idempotency on runs (principal_id, idempotency_key) where idempotency_key is not null;
    create index runs_created on runs (created_at desc, id desc);
    create index runs_open on runs (expires_at) where ended_at is null;

    create table dispatches (
      run_id text not null references runs on delete cascade,
      agent_id text not null,
      agent_name text not null,
      state smallint not null,
      reason_code text not null default '',
      reason text not null default '',
      exit_code integer,
      signal text not null default '',
      queued_at timestamptz not null,
      sent_at timestamptz,
      accepted_at timestamptz,
      started_at timestamptz,
      ended_at timestamptz,
      progress_percent smallint,
      progress_note text not null default '',
      output_bytes bigint not null default 0,
      output_dropped_bytes bigint not null default 0,
      output_stored_bytes bigint not null default 0,
      primary key (run_id, agent_id)
    -- Each row is updated several times in its first seconds: room for that in its page, and no waiting for a fifth of the table.
    ) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
    -- No index names a column that changes, so that every change of state is a heap-only update. What an agent is still owed is found
    -- from the open runs, which are few.

    create table output_chunks (
      run_id text not null,
      agent_id text not null,
      byte_offset bigint not null,
      stream smallint not null,
      data bytea not null,
      primary key (run_id, agent_id, byte_offset)
    );

    create table audit (
      seq bigint generated always as identity primary key,
      at timestamptz not null default now(),
      principal text not null,
      action text not null,
      object text not null,
      details jsonb not null default '{}'
    );
  `.execute(db);
}
