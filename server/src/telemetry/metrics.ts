import { SEVERITIES } from '@openline/packs';
import type { ErrorCode } from '@openline/proto/errors';
import type { MetricDescription } from '@openline/proto/metric-types';
import { createRegistry } from '@openline/proto/metrics';
import { collectDefaultMetrics, Registry as ProcessRegistry } from 'prom-client';
import { CHANNEL_KINDS } from '../notifications/channels/channel.ts';
import type { Outcome } from '../notifications/outbox/delivery.ts';
import type { DispatchState, EndState } from '../runs/dispatch.ts';
import type { CloseCode } from '../sessions/session.ts';

/** Seconds. From half a millisecond, where a stage of a connected agent lies, to the waits of agents that are away. */
const STAGE_SECONDS = [
  0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200,
];
const REQUEST_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const FLUSH_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5];
const BATCH_ITEMS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000];
const QUEUE_BYTES = [1024, 4096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216];

/** Known values of labels: docs/metrics.md names them, too. */
const BATCHES = ['reports', 'output', 'presence', 'events'];
const END_STATES = [
  'succeeded',
  'failed',
  'timed_out',
  'cancelled',
  'expired',
  'rejected',
  'lost',
] satisfies EndState[];
const OPEN_STATES = ['queued', 'sent', 'accepted', 'running'] satisfies DispatchState[];
const DELIVERIES = ['sent', 'retried', 'dead', 'uncertain', 'cancelled', 'skipped'] satisfies Outcome[];
const REFUSALS = [
  'CERTIFICATE_MISSING',
  'CERTIFICATE_EXPIRED',
  'IDENTITY_UNKNOWN',
  'IDENTITY_IN_USE',
  'AGENT_REVOKED',
  'PROTOCOL_UNSUPPORTED',
  'PROTOCOL_VIOLATION',
  'SERVER_BUSY',
] satisfies ErrorCode[];
const SESSION_ENDS = [
  'ENDED_BY_AGENT',
  'GOODBYE',
  'SERVER_STOPS',
  'SESSION_SUPERSEDED',
  'AGENT_SILENT',
  'AGENT_TOO_SLOW',
  'AGENT_REVOKED',
] satisfies CloseCode[];
export type Metrics = ReturnType<typeof createMetrics>;

/** Every metric of the server. Base units; no label names an agent, a run, a user or a target. docs/metrics.md is made of this. */
export function createMetrics() {
  const r = createRegistry();
  const ofProcess = new ProcessRegistry();
  const handles = {
    // The fleet.
    agentsConnected: r.gauge('openline_agents_connected', 'Agents with a ready session on this replica.'),
    agentsKnown: r.gauge('openline_agents_known', 'Agents that are enrolled and not revoked.'),
    agentsByVersion: r.gauges(
      'openline_agents_by_version',
      'Agents that are enrolled and not revoked, by the version that they had when they were last connected; “other” beyond twenty at a time.',
      { version: [] },
    ),
    packAgents: r.gauges(
      'openline_pack_agents',
      'Connected agents by wanted pack and whether they hold it: ready, refused (its signature, or its content) or missing (not yet).',
      { pack: [], state: ['ready', 'refused', 'missing'] },
    ),
    handshakes: r.counters(
      'openline_handshakes_total',
      'TLS handshakes on the agent port by outcome: ok, failed (TLS refused it) or abandoned (the peer hung up).',
      { outcome: ['ok', 'failed', 'abandoned'] },
    ),
    helloRejected: r.counters(
      'openline_hello_rejected_total',
      'Links that were refused at Hello, by reason (a code of docs/errors.md).',
      { reason: REFUSALS },
    ),
    sessionsOpened: r.counter('openline_sessions_opened_total', 'Sessions that became ready.'),
    sessionsEnded: r.counters(
      'openline_sessions_ended_total',
      'Ready sessions that ended, by reason: ENDED_BY_AGENT, SERVER_STOPS or a code of docs/errors.md.',
      { reason: SESSION_ENDS },
    ),
    sessionsSuperseded: r.counter(
      'openline_sessions_superseded_total',
      'Sessions that a newer session of the same agent took over.',
    ),
    enrollments: r.counters(
      'openline_enrollments_total',
      'Enrolments and certificate renewals by kind (enroll, renew, attest: the agent of a node) and outcome (ok, or a code of docs/errors.md).',
      { kind: ['enroll', 'renew', 'attest'], outcome: ['ok', 'JOIN_TOKEN_INVALID', 'NODE_NOT_ATTESTED'] },
    ),
    certificateExpiry: r.gauges(
      'openline_certificate_expiry_seconds',
      'Seconds until the certificate expires, by certificate: ca or server.',
      { certificate: ['ca', 'server'] },
    ),
    // The links.
    frames: r.counters('openline_frames_total', 'Messages on the links by direction (up, down) and kind.', {
      direction: ['up', 'down'],
      kind: [],
    }),
    frameBytes: r.counters('openline_frame_bytes_total', 'Bytes of the messages on the links by direction.', {
      direction: ['up', 'down'],
    }),
    streamQueueBytes: r.histogram(
      'openline_stream_queue_bytes',
      'Bytes waiting to be written to one agent, seen at each write that had to queue.',
      QUEUE_BYTES,
    ),
    outputBytes: r.counter('openline_output_bytes_total', 'Bytes of task output received.'),
    outputDroppedBytes: r.counter(
      'openline_output_dropped_bytes_total',
      'Bytes of task output beyond the limit of a dispatch, counted and not kept.',
    ),
    outputRefused: r.counter(
      'openline_output_refused_total',
      'Times that an agent was to send its output again, because this server held as much as it may for the database.',
    ),
    // Health.
    agentsByHealth: r.gauges(
      'openline_agents_by_health',
      'Agents by health: healthy, unknown, warning, critical, unreachable (their line is lost) or maintenance, which is counted apart.',
      { state: ['healthy', 'unknown', 'warning', 'critical', 'unreachable', 'maintenance'] },
    ),
    lineAlerts: r.counters(
      'openline_line_alerts_total',
      'Alerts of lost lines that were raised, by what was found: agent, node, network, stopped or unknown; and of agents whose executor or rules do not work.',
      { diagnosis: ['agent', 'node', 'network', 'stopped', 'unknown'] },
    ),
    // Runs and dispatches.
    runsSubmitted: r.counter('openline_runs_total', 'Runs that were committed.'),
    dispatches: r.counters('openline_dispatches_total', 'Dispatches that ended, by final state.', {
      state: END_STATES,
    }),
    dispatchesOpen: r.gauges(
      'openline_dispatches_open',
      'Dispatches of all replicas that have not ended, by state: queued, sent, accepted or running.',
      { state: OPEN_STATES },
    ),
    dispatchStage: r.histograms(
      'openline_dispatch_stage_seconds',
      'Seconds a dispatch spent in a stage: submit_sent, sent_accepted, accepted_started or ended_durable.',
      { stage: ['submit_sent', 'sent_accepted', 'accepted_started', 'ended_durable'] },
      STAGE_SECONDS,
    ),
    commitBatchItems: r.histograms(
      'openline_commit_batch_items',
      'Items that were committed together, by batch: reports, output, presence or events.',
      { batch: BATCHES },
      BATCH_ITEMS,
    ),
    commitFlushSeconds: r.histograms(
      'openline_commit_flush_seconds',
      'Seconds that a group commit took, by batch: reports, output, presence or events.',
      { batch: BATCHES },
      FLUSH_SECONDS,
    ),
    // Events and alerts.
    eventRecords: r.counters(
      'openline_event_records_total',
      'Records of agents that were taken in, each once, by kind: detection, state_change, gap or metric_counts.',
      { kind: ['detection', 'state_change', 'gap', 'metric_counts'] },
    ),
    eventGapEvents: r.counter(
      'openline_event_gap_events_total',
      'Events that agents say are missing: of a flood, of a log that was overwritten, of a spool that was full.',
    ),
    eventBatchesUnread: r.counter(
      'openline_event_batches_unread_total',
      'Batches of events that were left unread because there was no room, or because they could not be stored; their agents send them again.',
    ),
    eventDurable: r.histogram(
      'openline_event_durable_seconds',
      'Seconds from the arrival of a batch of events to the commit of its last record; measured at the server only.',
      STAGE_SECONDS,
    ),
    eventAlert: r.histogram(
      'openline_event_alert_seconds',
      'Seconds from the moment in which a rule fired or a monitor changed to the commit of its alert; by the agent’s clock, corrected by what its batches say of it, so the way of a message is not in it.',
      STAGE_SECONDS,
    ),
    packEvents: r.counters(
      'openline_pack_events_total',
      'What rules of packs count, by metric: “pack/name” as its pack has it, or “other” for one that no held pack names.',
      { metric: ['other'] },
    ),
    alertsOpen: r.gauges('openline_alerts_open', 'Alerts that are open, by severity and state (new, acknowledged).', {
      severity: SEVERITIES,
      state: ['new', 'acknowledged'],
    }),
    alertsRaised: r.counters(
      'openline_alerts_raised_total',
      'Alerts that were raised on this replica, by kind (rule, monitor, line) and severity; repeats are not counted.',
      { kind: ['rule', 'monitor', 'line'], severity: SEVERITIES },
    ),
    answers: r.counters(
      'openline_answers_total',
      'Tasks that rules and monitors asked for, by kind (rule, diagnostic, recovery) and outcome: the end of the dispatch, or skipped.',
      { kind: ['rule', 'diagnostic', 'recovery'], outcome: [...END_STATES, 'skipped'] },
    ),
    // Notifications.
    notifications: r.counters(
      'openline_notifications_total',
      'Notifications by kind of channel and outcome: sent, retried, dead (given up), uncertain (nobody knows), cancelled (no longer wanted) or skipped (outside of a schedule).',
      { channel_kind: CHANNEL_KINDS, outcome: DELIVERIES },
    ),
    notificationDelay: r.histograms(
      'openline_notification_delay_seconds',
      'Seconds from the moment a notification was due until the other side had taken it, by kind of channel.',
      { channel_kind: CHANNEL_KINDS },
      STAGE_SECONDS,
    ),
    notificationsPending: r.gauge(
      'openline_notifications_pending',
      'Notifications that are due and not delivered yet.',
    ),
    notificationsOldest: r.gauge(
      'openline_notifications_oldest_pending_seconds',
      'For how long the oldest of the notifications that are due has been waiting; 0 when none is.',
    ),
    notificationsDead: r.gauge(
      'openline_notifications_dead',
      'Notifications that were given up, or whose delivery is uncertain, and that wait for a person: `openline notifications list --state dead`.',
    ),
    // Operators.
    operatorRequests: r.counters(
      'openline_operator_requests_total',
      'Requests on the operator port by method and gRPC code.',
      { method: [], code: [] },
    ),
    operatorRequestSeconds: r.histograms(
      'openline_operator_request_seconds',
      'Seconds from the arrival of an operator request to its last answer, by method; watches are not counted.',
      { method: [] },
      REQUEST_SECONDS,
    ),
    // The database.
    databaseConnections: r.gauges(
      'openline_database_connections',
      'Connections of the pool by state: open, idle, or waiting (requests that wait for one).',
      { state: ['open', 'idle', 'waiting'] },
    ),
    databaseUp: r.gauge('openline_database_up', '1 while the database is believed to answer, else 0.'),
    databaseLost: r.counter(
      'openline_database_lost_total',
      'Times the embedded PostgreSQL was lost while the server ran, and brought back.',
    ),
    // The process.
    ready: r.gauge(
      'openline_ready',
      '1 when nothing kept this server from its work at the last look, every 15 s and at each /readyz; else 0.',
    ),
    eventLoopLag: r.gauges(
      'openline_event_loop_lag_seconds',
      'Delay of the event loop over the last 15 s, by percentile: 50, 99 or 100 (the worst).',
      { percentile: ['50', '99', '100'] },
    ),
    buildInfo: r.gauges('openline_build_info', 'Always 1; the labels say which build this is.', {
      version: [],
      node: [],
    }),
  };
  return {
    ...handles,
    /** Runs before each scrape: for gauges that are only read off something. */
    beforeScrape: r.beforeScrape,
    /** Adds what is known of the process and of Node, `process_…` and `nodejs_…`; once, by main. */
    addProcessMetrics() {
      collectDefaultMetrics({ register: ofProcess });
    },
    /** The Prometheus text format. */
    async render() {
      const { contentType, body } = await r.render();
      return { contentType, body: body + (await ofProcess.metrics()) };
    },
    descriptions: r.descriptions,
  };
}

export function describeMetrics(): readonly MetricDescription[] {
  return createMetrics().descriptions;
}
