import type { AgentMessage, EventBatch, TaskOutput, TaskReports } from '@openline/proto/agent';

/** Reports that may wait while the stream is congested. A server that does not read for so long is left, and told again later. */
const MAX_WAITING_REPORTS = 20_000;
/** Well under MAX_AGENT_MESSAGE_BYTES, as sizes are estimated. */
const REPORTS_BYTES = 128 * 1024;

/**
 * What leaves through one stream. grpc-js buffers without bound once `write` has said false, so nothing more is given to it
 * until it has drained; what matters most then goes first: control, then reports, then events, and output not at all.
 */
export interface Outbox {
  control(message: AgentMessage): void;
  /** @returns false when too much waits already: the stream should be given up */
  reports(reports: TaskReports): boolean;
  /** Kept until the stream takes it: of one agent only a few are under way. */
  events(batch: EventBatch): void;
  /** @returns false while the stream is congested; `onWritable` follows */
  output(chunk: TaskOutput): boolean;
  readonly congested: boolean;
  /** The stream has drained. */
  drained(): void;
}

/** @param write as of a stream: false means that it was taken, but that no more should follow until it has drained */
export function createOutbox(write: (message: AgentMessage) => boolean, onWritable: () => void): Outbox {
  let congested = false;
  let refusedOutput = false;
  let control: AgentMessage[] = [];
  let waiting: TaskReports | undefined;
  const events: EventBatch[] = [];

  const send = (message: AgentMessage) => {
    congested = !write(message);
  };

  const flush = () => {
    for (;;) {
      if (congested) return;
      const next = control.shift();
      if (next) {
        send(next);
        continue;
      }
      if (waiting) {
        const [first, rest] = cutReports(waiting, REPORTS_BYTES);
        waiting = rest;
        send({ kind: { $case: 'taskReports', value: first } });
        continue;
      }
      const batch = events.shift();
      if (!batch) return;
      send({ kind: { $case: 'eventBatch', value: batch } });
    }
  };

  return {
    get congested() {
      return congested;
    },
    control(message) {
      // Only the newest heartbeat says anything.
      if (message.kind?.$case === 'heartbeat') control = control.filter((m) => m.kind?.$case !== 'heartbeat');
      control.push(message);
      flush();
    },
    reports(reports) {
      waiting = waiting ? joinReports(waiting, reports) : reports;
      flush();
      return !waiting || countReports(waiting) <= MAX_WAITING_REPORTS;
    },
    events(batch) {
      events.push(batch);
      flush();
    },
    output(chunk) {
      if (congested) {
        refusedOutput = true;
        return false;
      }
      send({ kind: { $case: 'taskOutput', value: chunk } });
      return true;
    },
    drained() {
      congested = false;
      flush();
      if (congested || !refusedOutput) return;
      refusedOutput = false;
      onWritable();
    },
  };
}

function joinReports(a: TaskReports, b: TaskReports): TaskReports {
  return {
    accepted: [...a.accepted, ...b.accepted],
    started: [...a.started, ...b.started],
    progress: [...a.progress, ...b.progress],
    results: [...a.results, ...b.results],
  };
}

function countReports({ accepted, started, progress, results }: TaskReports): number {
  return accepted.length + started.length + progress.length + results.length;
}

/** UTF-8 takes at most three bytes for each UTF-16 unit; the numbers of a report take fewer than 96 bytes. */
function bytesOf(...texts: readonly string[]): number {
  return 96 + 3 * texts.reduce((sum, text) => sum + text.length, 0);
}

/** Empty for nearly all. */
function bytesOfMap(map: Readonly<Record<string, string>>): number {
  let bytes = 0;
  for (const [key, value] of Object.entries(map)) bytes += bytesOf(key, value);
  return bytes;
}

/**
 * Cuts off a first part of at most `maxBytes` (a single larger report is a part of its own). The order of a dispatch's life
 * is kept: what is accepted is said before what started, that before how it went and ended.
 */
export function cutReports(reports: TaskReports, maxBytes: number): [TaskReports, TaskReports | undefined] {
  let left = maxBytes;
  let taken = 0;
  let full = false;
  const take = <T>(items: readonly T[], size: (item: T) => number): [T[], T[]] => {
    let n = 0;
    for (const item of items) {
      if (full) break;
      const bytes = size(item);
      if (bytes > left && taken > 0) {
        full = true;
        break;
      }
      left -= bytes;
      taken++;
      n++;
    }
    return [items.slice(0, n), items.slice(n)];
  };
  const accepted = take(reports.accepted, (r) => bytesOf(r.runId));
  const started = take(reports.started, (r) => bytesOf(r.runId) + bytesOfMap(r.parametersFrom));
  const progress = take(reports.progress, (r) => bytesOf(r.runId, r.note));
  const results = take(
    reports.results,
    (r) => bytesOf(r.runId, r.signal, r.reasonCode, r.reason) + bytesOfMap(r.parametersFrom),
  );
  if (!full) return [reports, undefined];
  return [
    { accepted: accepted[0], started: started[0], progress: progress[0], results: results[0] },
    { accepted: accepted[1], started: started[1], progress: progress[1], results: results[1] },
  ];
}
