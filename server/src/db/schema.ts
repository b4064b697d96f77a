import type { ColumnType, Generated, GeneratedAlways } from 'kysely';

/** The tables, as kysely sees them. Columns are the columns of migrations/. */
export interface Schema {
  agents: AgentsTable;
  tokens: TokensTable;
  packs: PacksTable;
  agent_packs: AgentPacksTable;
  runs: RunsTable;
  dispatches: DispatchesTable;
  output_chunks: OutputChunksTable;
  audit: AuditTable;
  event_positions: EventPositionsTable;
  monitor_states: MonitorStatesTable;
  alerts: AlertsTable;
  alert_changes: AlertChangesTable;
  alert_events: AlertEventsTable;
  events: EventsTable;
  answers: AnswersTable;
}

/** jsonb: parsed when read; written as JSON text. */
type Json<T> = ColumnType<T, string | undefined, string>;
/** bigint columns are read as number: every one here stays below 2^53 (db.ts sets the parser). */
type Time = Date;

export interface AgentsTable {
  id: string;
  name: string;
  enrolled_at: Generated<Time>;
  enrolled_with: string;
  enrolled_key: Generated<Buffer>;
  pinned_labels: Json<Record<string, string>>;
  labels: Json<Record<string, string>>;
  facts: Json<Record<string, string>>;
  version: Generated<string>;
  journal_id: Generated<string>;
  instance_id: Generated<string>;
  epoch: Generated<number>;
  online: Generated<boolean>;
  connected_at: Time | null;
  last_seen_at: Time | null;
  remote_address: Generated<string>;
  certificate_expires_at: Time | null;
  revoked_at: Time | null;
  revoked_reason: Generated<string>;
  cluster: Generated<string>;
  node_uid: Generated<string>;
  authority: Generated<string>;
}

export interface TokensTable {
  id: string;
  kind: 'operator' | 'join';
  name: string;
  role: Generated<'' | 'viewer' | 'operator' | 'admin'>;
  secret_hash: Buffer;
  labels: Json<Record<string, string>>;
  created_by: string;
  created_at: Generated<Time>;
  expires_at: Time | null;
  revoked_at: Time | null;
  last_used_at: Time | null;
  used_by_agent: string | null;
}

export interface PacksTable {
  digest: Buffer;
  name: string;
  version: string;
  content: Buffer;
  signature: string;
  key_id: string;
  pushed_by: string;
  pushed_at: Generated<Time>;
  wanted: boolean;
}

export interface AgentPacksTable {
  agent_id: string;
  digest: Buffer;
  ready: boolean;
  reason_code: Generated<string>;
  reason: Generated<string>;
}

export interface RunsTable {
  id: string;
  task: string;
  targets: string;
  pack_digest: Buffer;
  pack_name: string;
  pack_version: string;
  task_name: string;
  parameters: string;
  /** Name of a parameter → property of the target; null: none. */
  parameters_from: Json<Record<string, string>> | null;
  timeout_ms: number;
  ttl_ms: number;
  offline: 'fail' | 'wait';
  requested_by: string;
  principal_id: string;
  idempotency_key: string | null;
  request_hash: Buffer;
  retry_of: string | null;
  created_at: Time;
  expires_at: Time;
  cancelled_at: Time | null;
  cancelled_by: Generated<string>;
  ended_at: Time | null;
  /** State number → how many. */
  counts: Json<Record<string, number>> | null;
  target_count: number;
}

export interface DispatchesTable {
  run_id: string;
  agent_id: string;
  agent_name: string;
  state: number;
  reason_code: Generated<string>;
  reason: Generated<string>;
  exit_code: number | null;
  signal: Generated<string>;
  queued_at: Time;
  sent_at: Time | null;
  accepted_at: Time | null;
  started_at: Time | null;
  ended_at: Time | null;
  progress_percent: number | null;
  progress_note: Generated<string>;
  output_bytes: Generated<number>;
  output_dropped_bytes: Generated<number>;
  output_stored_bytes: Generated<number>;
  view: Generated<string>;
  /** Name of a parameter → what the agent put in; null: nothing, or it has not said so. Never written again. */
  parameters_from: Json<Record<string, string>> | null;
}

export interface OutputChunksTable {
  run_id: string;
  agent_id: string;
  byte_offset: number;
  stream: number;
  data: Buffer;
}

export interface AuditTable {
  seq: Generated<number>;
  at: Generated<Time>;
  principal: string;
  action: string;
  object: string;
  details: Json<Record<string, unknown>>;
}

export interface EventPositionsTable {
  agent_id: string;
  spool_id: Generated<string>;
  seq: Generated<number>;
}

export interface MonitorStatesTable {
  agent_id: string;
  pack: string;
  monitor: string;
  instance: string;
  /** See events/event.ts. */
  state: number;
  since: Time;
  reason: Generated<string>;
  /** A JSON value; empty: none. */
  sample: Generated<string>;
  spell: Generated<string>;
  hushed: Generated<number>;
}

export interface AlertsTable {
  id: Generated<number>;
  kind: 'rule' | 'monitor' | 'line';
  agent_id: string;
  watch: string;
  key: string;
  agent_name: string;
  labels: Json<Record<string, string>>;
  severity: number;
  title: string;
  description: string;
  state: number;
  owner: Generated<string>;
  count: number;
  first_at: Time;
  last_at: Time;
  closed_at: Time | null;
  maintenance_id: Generated<string>;
  behind: Generated<number>;
}

export interface AlertChangesTable {
  id: Generated<number>;
  alert_id: number;
  kind: string;
  at: Time;
  by: string;
  comment: string;
  severity: number;
  state: number;
  owner: string;
  count: number;
}

interface EventColumns {
  log: string;
  source: string;
  event_id: string;
  level: number;
  at: Time;
  message: string;
  /** A JSON object; empty: none. */
  data: string;
}

export interface AlertEventsTable extends EventColumns {
  alert_id: number;
  slot: number;
  seq: number;
}

export interface EventsTable extends EventColumns {
  id: GeneratedAlways<number>;
  agent_id: string;
  watch: string;
  alert_id: number | null;
  lost: number | null;
}

export interface AnswersTable {
  id: string;
  kind: 'rule' | 'diagnostic' | 'recovery';
  agent_id: string;
  watch: string;
  instance: string;
  spell: string;
  alert_id: number | null;
  task: string;
  parameters: string;
  cooldown_ms: number;
  choice: Generated<string>;
  state: 'choosing' | 'due' | 'starting' | 'running' | 'ended' | 'skipped';
  run_id: string | null;
  outcome: Generated<string>;
  created_at: Time;
  started_at: Time | null;
  ended_at: Time | null;
}
