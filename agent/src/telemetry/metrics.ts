import type { Outcome } from '@openline/packs/engine';
import type { MetricDescription } from '@openline/proto/metric-types';
import { createRegistry } from '@openline/proto/metrics';
import type { LinkState } from '../link/link-machine.ts';
import type { End } from '../tasks/dispatch-machine.ts';

const ROUND_TRIP_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15];
const SYNC_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];

export const LINK_STATES = ['idle', 'rising', 'ready', 'waiting', 'stopped'] as const satisfies LinkState['kind'][];
const ENDS = ['succeeded', 'failed', 'timed_out', 'cancelled', 'expired', 'rejected', 'lost'] satisfies End[];
const OUTCOMES = ['detection', 'state', 'metric'] satisfies Outcome['kind'][];

/** Every metric of the agent. Base units; no label names a run, a user or a pack. docs/metrics.md is made of this. */
export function createAgentMetrics() {
  const r = createRegistry();
  return {
    linkState: r.gauges(
      'openline_agent_link_state',
      '1 for the state of the link: idle (no identity yet), rising (dialing, or waiting for Welcome), ready, waiting (for the next attempt) or stopped; 0 for the others.',
      { state: LINK_STATES },
    ),
    linkOpened: r.counter('openline_agent_link_opened_total', 'Sessions with a server that became ready.'),
    linkFailures: r.counters(
      'openline_agent_link_failures_total',
      'Streams that ended other than by a hand-over, or never became a session, by reason (a code of docs/errors.md).',
      { reason: ['SERVER_UNREACHABLE', 'SERVER_UNTRUSTED', 'IDENTITY_UNKNOWN'] },
    ),
    heartbeat: r.histogram(
      'openline_agent_heartbeat_seconds',
      'Seconds from a heartbeat to the server’s answer.',
      ROUND_TRIP_SECONDS,
    ),
    certificateExpiry: r.gauge(
      'openline_agent_certificate_expiry_seconds',
      'Seconds until the certificate of the agent expires; it is renewed at half of its life. 0 without an identity.',
    ),
    // Tasks.
    tasksRunning: r.gauge('openline_agent_tasks_running', 'Tasks that run.'),
    tasksQueued: r.gauge('openline_agent_tasks_queued', 'Tasks that were accepted and wait for a slot or their pack.'),
    tasks: r.counters('openline_agent_tasks_total', 'Dispatches that ended here, by final state.', { state: ENDS }),
    journalSync: r.histogram(
      'openline_agent_journal_sync_seconds',
      'Seconds that a sync of the journal to disk took: each start of a task waits for one.',
      SYNC_SECONDS,
    ),
    resultsOwed: r.gauge(
      'openline_agent_results_owed',
      'Results that the server has not confirmed, on disk until it has.',
    ),
    outputOwed: r.gauge('openline_agent_output_owed_bytes', 'Bytes of task output that the server has not confirmed.'),
    selfCheckAge: r.gauges(
      'openline_agent_self_check_age_seconds',
      'Seconds since a part of the agent last proved that it works, by part: executor (its journal was synced) or rules (a synthetic event went through them to disk).',
      { part: ['executor', 'rules'] },
    ),
    faulty: r.gauge(
      'openline_agent_faulty',
      '1 while something keeps the executor or the rules from their work (`openline agents show` says what), else 0.',
    ),
    // Events.
    eventsRead: r.counter(
      'openline_agent_events_read_total',
      'Events that were read from logs and given to the rules.',
    ),
    outcomes: r.counters(
      'openline_agent_outcomes_total',
      'What rules and monitors concluded, by kind: detection, state (of a monitor, changed) or metric (counted).',
      { kind: OUTCOMES },
    ),
    eventsMissed: r.counter(
      'openline_agent_events_missed_total',
      'Events that no rule has seen, and never will: skipped in a flood, overwritten before they were read, not readable. Some gaps cannot be counted: openline_agent_event_gaps_total has them, too.',
    ),
    eventGaps: r.counter('openline_agent_event_gaps_total', 'Gaps in what the rules have seen.'),
    watches: r.gauges('openline_agent_watches', 'Rules and monitors that hold on this agent, by kind.', {
      kind: ['rule', 'monitor'],
    }),
    eventSpoolRecords: r.gauge(
      'openline_agent_event_spool_records',
      'Detections, changes of state and gaps that the server has not confirmed.',
    ),
    eventSpoolBytes: r.gauge('openline_agent_event_spool_bytes', 'Bytes of the event spool on disk.'),
    // The process.
    packsHeld: r.gauge('openline_agent_packs_held', 'Packs that are held and ready, each version counted.'),
    eventLoopLag: r.gauge(
      'openline_agent_event_loop_lag_seconds',
      'Worst delay of the event loop over the last 15 s, looked at twice a second.',
    ),
    buildInfo: r.gauges('openline_agent_build_info', 'Always 1; the labels say which build this is.', {
      version: [],
      node: [],
    }),
    residentMemory: r.gauge('process_resident_memory_bytes', 'Resident memory of the process.'),
    cpu: r.counter('process_cpu_seconds_total', 'Processor time of the process, user and system.'),
    startTime: r.gauge('process_start_time_seconds', 'When the process started, Unix time.'),
    beforeScrape: r.beforeScrape,
    render: r.render,
    descriptions: r.descriptions,
  };
}

export type AgentMetrics = ReturnType<typeof createAgentMetrics>;

export function describeAgentMetrics(): readonly MetricDescription[] {
  return createAgentMetrics().descriptions;
}
