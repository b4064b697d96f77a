import { randomUUID } from 'node:crypto';
import {
  AlertSeverity,
  EventLevel,
  type EventRecord,
  HealthState,
  type StateChange,
  type TaskAnswer,
  TaskEnd,
} from '@openline/proto/agent';
import { MAX_EVENT_BATCHES_UNDER_WAY } from '@openline/proto/limits';
import { type BareAgent, bareAgent } from './bare-agent.ts';
import type { AgentIdentity } from './certificates.ts';

/** Speaks for an agent what its event spool would: sends records in order, keeps them until they are acknowledged, and begins again there. */
export interface EventAgent {
  /** Opens a session; what is not acknowledged is sent again. */
  connect(port: number): Promise<void>;
  /** As a crash of its process, or of the network. */
  disconnect(): void;
  /** @returns the number of the last one */
  say(...kinds: readonly NonNullable<EventRecord['kind']>[]): number;
  acked(): number;
  /** Resolves when this record is acknowledged. */
  until(seq: number): Promise<void>;
  /** Tasks that it was given. */
  readonly tasks: readonly { runId: string; task: string; parameters: unknown }[];
  /** Ends a task that it was given. */
  endTask(runId: string, exitCode: number, output?: string): void;
}

const RECORDS_PER_BATCH = 500;

export function eventAgent(identity: AgentIdentity): EventAgent {
  const ids = { journalId: randomUUID(), machineId: randomUUID(), instanceId: randomUUID() };
  const spoolId = randomUUID();
  const spool: EventRecord[] = [];
  const tasks: { runId: string; task: string; parameters: unknown }[] = [];
  let acked = 0;
  let sent = 0;
  let underWay: number[] = [];
  let link: BareAgent | undefined;
  let read = 0;
  let waiting: { seq: number; resolve: () => void }[] = [];

  function pump(): void {
    while (link !== undefined && sent < spool.length && underWay.length < MAX_EVENT_BATCHES_UNDER_WAY) {
      const records = spool.slice(sent, sent + RECORDS_PER_BATCH);
      const value = { spoolId, records, afterSeq: BigInt(sent), sentUnixMs: BigInt(Date.now()) };
      link.send({ kind: { $case: 'eventBatch', value } });
      sent += records.length;
      underWay.push(sent);
    }
  }

  function hear(from: BareAgent): void {
    if (from !== link) return;
    for (; read < from.received.length; read++) {
      const kind = from.received[read]?.kind;
      if (kind?.$case === 'eventAck' && kind.value.spoolId === spoolId) {
        acked = Math.max(acked, Number(kind.value.seq));
        underWay = underWay.filter((last) => last > acked);
        const done = waiting.filter(({ seq }) => seq <= acked);
        if (done.length > 0) waiting = waiting.filter(({ seq }) => seq > acked);
        for (const { resolve } of done) resolve();
      } else if (kind?.$case === 'tasks') {
        for (const { runId, packName, taskName, parametersJson } of kind.value.tasks)
          tasks.push({ runId, task: `${packName}/${taskName}`, parameters: JSON.parse(parametersJson) });
      }
    }
    pump();
  }

  return {
    async connect(port) {
      const next = bareAgent(port, identity);
      next.hello({
        ...ids,
        capabilities: ['events'],
        labels: { role: 'web' },
        facts: { 'interpreter.bash': '/bin/bash' },
        capacity: 8,
        queueLimit: 100,
      });
      const { capabilities } = await next.welcomed();
      if (!capabilities.includes('events')) throw new Error('this server takes no events');
      link = next;
      read = 0;
      sent = acked;
      underWay = [];
      next.onMessage(() => hear(next));
      beat(next);
      hear(next);
    },
    disconnect() {
      link?.close();
      link = undefined;
    },
    say(...kinds) {
      for (const kind of kinds) spool.push({ seq: BigInt(spool.length + 1), atUnixMs: BigInt(Date.now()), kind });
      pump();
      return spool.length;
    },
    acked: () => acked,
    until: (seq) => (seq <= acked ? Promise.resolve() : new Promise((resolve) => waiting.push({ seq, resolve }))),
    tasks,
    endTask(runId, exitCode, output = '') {
      const now = BigInt(Date.now());
      const end = exitCode === 0 ? TaskEnd.TASK_END_SUCCEEDED : TaskEnd.TASK_END_FAILED;
      const times = { acceptedUnixMs: now, startedUnixMs: now, endedUnixMs: now };
      const counts = { outputBytes: BigInt(Buffer.byteLength(output)), outputDroppedBytes: 0n };
      const reasons = { view: '', signal: '', reasonCode: exitCode === 0 ? '' : 'TASK_EXIT_CODE', reason: '' };
      link?.send({
        kind: {
          $case: 'taskReports',
          value: {
            accepted: [],
            started: [],
            progress: [],
            results: [{ runId, end, exitCode, parametersFrom: {}, ...reasons, ...times, ...counts }],
          },
        },
      });
    },
  };
}

/** The first heartbeat is enough for the tests that use this; they do not wait until it would be offline. */
function beat(link: BareAgent): void {
  let seq = 0n;
  const send = () =>
    link.send({
      kind: {
        $case: 'heartbeat',
        value: {
          seq: ++seq,
          sentUnixMs: BigInt(Date.now()),
          running: 0,
          queued: 0,
          capacity: 8,
          spooledResults: 0,
          spooledOutputBytes: 0n,
          executorCheckedMsAgo: 0,
          fault: '',
          rssBytes: 0n,
          rulesCheckedMsAgo: 0,
          spooledEventRecords: 0n,
        },
      },
    });
  send();
  const timer = setInterval(send, 5_000);
  timer.unref();
  void link.ended.then(() => clearInterval(timer));
}

type Kind = NonNullable<EventRecord['kind']>;

/** A rule fired. */
export function fired(
  message: string,
  { rule = 'rule', key = '', run }: { rule?: string; key?: string; run?: TaskAnswer } = {},
): Kind {
  const event = {
    log: 'agent',
    source: 'test',
    id: '1',
    level: EventLevel.EVENT_LEVEL_ERROR,
    atUnixMs: BigInt(Date.now()),
    message,
    dataJson: '{}',
  };
  return {
    $case: 'detection',
    value: {
      rule: { packName: 'test', packVersion: '1.0.0', name: rule },
      count: 1,
      events: [event],
      eventCount: 1n,
      alert: {
        severity: AlertSeverity.ALERT_SEVERITY_WARNING,
        title: `it happened: ${rule}`,
        description: message,
        key,
      },
      ...(run === undefined ? {} : { run }),
    },
  };
}

/** A monitor changed its state. */
export function became(to: 'healthy' | 'warning' | 'critical', over: Partial<StateChange> = {}): Kind {
  const states = {
    healthy: HealthState.HEALTH_STATE_HEALTHY,
    warning: HealthState.HEALTH_STATE_WARNING,
    critical: HealthState.HEALTH_STATE_CRITICAL,
  };
  const severity = to === 'critical' ? AlertSeverity.ALERT_SEVERITY_CRITICAL : AlertSeverity.ALERT_SEVERITY_WARNING;
  return {
    $case: 'stateChange',
    value: {
      monitor: { packName: 'test', packVersion: '1.0.0', name: 'disk' },
      instance: '/',
      from: HealthState.HEALTH_STATE_HEALTHY,
      to: states[to],
      reason: `it is ${to}`,
      sampleJson: '{"used":99}',
      events: [],
      recoveries: [],
      ...(to === 'healthy' ? {} : { alert: { severity, title: `the disk is ${to}`, description: '', key: '/' } }),
      ...over,
    },
  };
}
