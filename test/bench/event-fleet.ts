// Agents that say events and nothing else, as a process of its own. Started by events.ts, spoken to over IPC.
import { performance } from 'node:perf_hooks';
import { enroll } from '../../agent/src/enrollment/enroll.ts';
import { systemClock } from '../../agent/src/tasks/clock.ts';
import { createLog } from '../../agent/src/telemetry/log.ts';
import { type EventAgent, eventAgent, fired } from '../harness/event-agent.ts';
import { obeyParent } from './child.ts';

export type EventOrder =
  | {
      readonly kind: 'start';
      readonly port: number;
      readonly caHash: string;
      readonly agents: readonly { readonly name: string; readonly joinToken: string }[];
      readonly concurrency: number;
    }
  /** Each of the first `agents` says so many records, with so many keys, as fast as they are taken. */
  | { readonly kind: 'burst'; readonly agents: number; readonly records: number; readonly keys: number }
  /** So many records a second by all agents in turn, for so long; one more agent floods meanwhile when it says so. */
  | { readonly kind: 'steady'; readonly perSecond: number; readonly seconds: number; readonly floodKeys: number };

export type EventAnswer =
  | { readonly kind: 'started' }
  | { readonly kind: 'burst'; readonly ms: number }
  /** From saying a record to its acknowledgement, milliseconds. */
  | { readonly kind: 'steady'; readonly ackMs: readonly number[]; readonly floodPerS: number };

const log = createLog('error', (line) => process.stderr.write(line));
const agents: EventAgent[] = [];
const noStore = {
  load: async () => undefined,
  save: async () => {},
  pendingKey: async (make: () => string) => make(),
};

async function start(order: Extract<EventOrder, { kind: 'start' }>): Promise<EventAnswer> {
  const next = order.agents[Symbol.iterator]();
  const inTurn = async () => {
    for (const { name, joinToken } of next) {
      const signal = new AbortController().signal;
      const { caPem, keyPem, certificatePem } = await enroll(
        { store: noStore, clock: systemClock, random: Math.random, log, signal },
        {
          servers: [{ host: 'localhost', port: order.port }],
          name,
          credential: { kind: 'join', token: joinToken },
          caHash: order.caHash,
          caFile: undefined,
        },
      );
      const agent = eventAgent({ caPem, keyPem, certificatePem, agentId: '', certificateFile: '' });
      await agent.connect(order.port);
      agents.push(agent);
    }
  };
  await Promise.all(Array.from({ length: order.concurrency }, inTurn));
  return { kind: 'started' };
}

const text = 'connection to upstream 10.0.3.17:8443 failed: timeout after 5000 ms, attempt 3 of 5, request 8f14e45f';

async function burst(order: Extract<EventOrder, { kind: 'burst' }>): Promise<EventAnswer> {
  const startMs = performance.now();
  const speakers = agents.slice(0, order.agents);
  const lasts = speakers.map((agent) =>
    agent.say(...Array.from({ length: order.records }, (_, i) => fired(text, { key: `key ${i % order.keys}` }))),
  );
  await Promise.all(speakers.map((agent, i) => agent.until(lasts[i] ?? 0)));
  return { kind: 'burst', ms: performance.now() - startMs };
}

async function steady(order: Extract<EventOrder, { kind: 'steady' }>): Promise<EventAnswer> {
  const [flooder, ...calm] = agents;
  if (flooder === undefined) throw new Error('no agents');
  const endMs = performance.now() + order.seconds * 1000;
  let flooded = 0;
  const flood = async () => {
    while (order.floodKeys > 0 && performance.now() < endMs) {
      const records = Array.from({ length: 2_000 }, (_, i) => fired(text, { key: `key ${i % order.floodKeys}` }));
      await flooder.until(flooder.say(...records) - 1_000);
      flooded += records.length;
    }
  };
  const flooding = flood();
  const waits: Promise<number>[] = [];
  const startMs = performance.now();
  for (let said = 0; performance.now() < endMs; ) {
    for (const due = ((performance.now() - startMs) / 1000) * order.perSecond; said < due; said++) {
      const agent = calm[said % calm.length];
      if (agent === undefined) throw new Error('one agent is not enough');
      const saidMs = performance.now();
      waits.push(agent.until(agent.say(fired(text))).then(() => performance.now() - saidMs));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const ackMs = await Promise.all(waits);
  await flooding;
  return { kind: 'steady', ackMs, floodPerS: flooded / order.seconds };
}

obeyParent<EventOrder, EventAnswer>((order) => {
  switch (order.kind) {
    case 'start':
      return start(order);
    case 'burst':
      return burst(order);
    case 'steady':
      return steady(order);
    default:
      return order satisfies never;
  }
});
