import type { TaskOutput } from '@openline/proto/agent';
import { expect, it } from 'vitest';
import { createOutputSender } from '../../agent/src/tasks/output/sender.ts';
import { createOutputFlow, type OutputSource } from '../../server/src/sessions/output-flow.ts';
import { OutputWindow } from '../../server/src/sessions/output-window.ts';
import { seeded } from '../harness/chaos.ts';

// Both ends of the flow of output, as they are, in one process: what is between them is late and breaks, and the database is slow.

const SEED = Number(process.env['OPENLINE_CHAOS_SEED'] ?? Date.now() % 1_000_000);
const KIB = 1024;
const AGENTS = 40;
const RUNS = 3;
const CHUNKS = 24;
/** A twentieth of what the windows allow together. */
const BUDGET = 256 * KIB;

const turns = (count: number) =>
  new Promise<void>((resolve) => {
    const turn = (left: number) => (left === 0 ? resolve() : setImmediate(() => turn(left - 1)));
    turn(count);
  });

/** An agent: real sender, spools in memory, and a session that ends now and then. */
function agentOf(agentId: string, random: () => number) {
  /** On their way: chunks up, acknowledgements down. */
  const up: TaskOutput[] = [];
  const down: (() => void)[] = [];
  const drained: string[] = [];
  const sender = createOutputSender({
    send: (chunk) => up.push(chunk) > 0,
    onDrained: (runId) => drained.push(runId),
  });
  for (let run = 0; run < RUNS; run++) {
    const chunks = Array.from({ length: CHUNKS }, () => Buffer.alloc(1 + Math.floor(random() * 32 * KIB), agentId));
    const keptBytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    const read = async (position: number) => {
      const data = chunks[position];
      return data && { chunk: { stream: 1 as const, data }, next: position + 1 };
    };
    const nothing = async () => {};
    const spool = { append: nothing, drop() {}, read, release: nothing, remove: nothing };
    sender.add(`${agentId}-${run}`, { ...spool, keptBytes: () => keptBytes, droppedBytes: () => 0, fault: () => '' });
    sender.complete(`${agentId}-${run}`);
  }
  return { agentId, sender, up, down, drained };
}

it.each([0, 1, 2, 3, 4, 5, 6, 7])(
  `all output arrives, each byte in its place, and no more is held than may be (seed ${SEED} + %i)`,
  async (more) => {
    const random = seeded(SEED + more);
    const below = (count: number) => Math.floor(random() * count);
    const agents = Array.from({ length: AGENTS }, (_, i) => ({
      ...agentOf(`a${i}`, random),
      source: undefined as OutputSource | undefined,
    }));
    const byId = new Map(agents.map((agent) => [agent.agentId, agent]));
    const pending: { runId: string; agentId: string; offset: number; data: Uint8Array }[] = [];
    const committed = new Map<string, number>();
    let heldBytes = 0;
    let mostHeld = 0;
    let refusals = 0;
    const violations: string[] = [];

    const flow = createOutputFlow<OutputSource>(
      {
        store(chunk) {
          pending.push(chunk);
          heldBytes += chunk.data.byteLength;
          mostHeld = Math.max(mostHeld, heldBytes);
        },
        resend({ agentId }, round, windowBytes) {
          const agent = byId.get(agentId);
          agent?.down.push(() => agent.sender.resend(round, windowBytes));
        },
        violated: ({ agentId }) => violations.push(agentId),
        busy: ({ agentId }) => violations.push(agentId),
        agents: () => AGENTS,
        onRefused: () => refusals++,
      },
      BUDGET,
    );

    function connect(agent: (typeof agents)[number]): void {
      if (agent.source !== undefined) flow.forget(agent.source);
      // What was on its way is lost with the session.
      agent.up.length = 0;
      agent.down.length = 0;
      agent.sender.closed();
      const output = new OutputWindow();
      output.grant(128 * KIB);
      agent.source = { agentId: agent.agentId, output, resendsOutput: true };
      agent.sender.opened(128 * KIB);
    }

    /** What the database takes at a time: in order, and each byte in its place, or the agent would be told to forget what is missing. */
    function commit(): void {
      const batch = pending.splice(0, 1 + below(8));
      for (const { runId, agentId, offset, data } of batch) {
        const before = committed.get(runId) ?? 0;
        expect(offset, `a hole in ${runId}`).toBeLessThanOrEqual(before);
        committed.set(runId, Math.max(before, offset + data.byteLength));
        const agent = byId.get(agentId);
        agent?.source?.output.committed(runId, offset + data.byteLength);
        agent?.down.push(() => agent.sender.committed(runId, offset + data.byteLength));
        heldBytes -= data.byteLength;
        flow.durable(data.byteLength);
      }
    }

    for (const agent of agents) connect(agent);
    for (let steps = 0; agents.some(({ drained }) => drained.length < RUNS); steps++) {
      if (steps > 200_000) throw new Error('it does not come to its end');
      const agent = agents[below(AGENTS)];
      if (agent?.source === undefined) continue;
      for (let n = below(12); n > 0; n--) {
        const chunk = agent.up.shift();
        if (chunk === undefined) break;
        const { runId, offset, stream, data, round } = chunk;
        if (stream !== 1) throw new Error('only stdout');
        flow.arrived(agent.source, { runId, agentId: agent.agentId, offset: Number(offset), stream, data }, round);
      }
      for (let n = below(12); n > 0; n--) agent.down.shift()?.();
      if (random() < 0.3) commit();
      if (random() < 0.002) connect(agent);
      await turns(1);
    }
    expect(violations).toEqual([]);
    expect(mostHeld).toBeLessThanOrEqual(BUDGET);
    expect(refusals).toBeGreaterThan(AGENTS / 4);
  },
);
