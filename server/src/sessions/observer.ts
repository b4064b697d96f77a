import type { Metrics } from '../telemetry/metrics.ts';
import type { SessionObserver } from './sessions.ts';

/** Kinds by their field number in the .proto file, for the frame counters. */
const KINDS = {
  up: [
    'unknown',
    'hello',
    'heartbeat',
    'task_reports',
    'task_output',
    'pack_status',
    'goodbye',
    'unsupported',
    'event_batch',
    'trust_report',
  ],
  down: [
    'unknown',
    'welcome',
    'heartbeat_ack',
    'tasks',
    'cancel',
    'packs_wanted',
    'result_ack',
    'output_ack',
    'reconnect',
    'disconnect',
    'unsupported',
    'event_ack',
    'policy',
    'reset_monitor',
    'trust',
  ],
} as const;

/** Counts what sessions do. Series are looked up once: these are the hottest counters of the server. */
export function createSessionObserver(metrics: Metrics): SessionObserver {
  const series = (direction: 'up' | 'down') => KINDS[direction].map((kind) => metrics.frames.with({ direction, kind }));
  const frames = { up: series('up'), down: series('down') };
  const bytes = {
    up: metrics.frameBytes.with({ direction: 'up' }),
    down: metrics.frameBytes.with({ direction: 'down' }),
  };
  const stages = {
    sent_accepted: metrics.dispatchStage.with({ stage: 'sent_accepted' }),
    accepted_started: metrics.dispatchStage.with({ stage: 'accepted_started' }),
  };
  return {
    opened(count) {
      metrics.sessionsOpened.inc();
      metrics.agentsConnected.set(count);
    },
    superseded: () => metrics.sessionsSuperseded.inc(),
    refused: (reason) => metrics.helloRejected.with({ reason }).inc(),
    closed(reason, count) {
      metrics.sessionsEnded.with({ reason }).inc();
      metrics.agentsConnected.set(count);
    },
    frame(direction, field, size) {
      (frames[direction][field] ?? frames[direction][0])?.inc();
      bytes[direction].inc(size);
    },
    stage: (stage, seconds) => stages[stage].observe(seconds),
    queuedBytes: (size) => metrics.streamQueueBytes.observe(size),
    outputRefused: () => metrics.outputRefused.inc(),
  };
}
