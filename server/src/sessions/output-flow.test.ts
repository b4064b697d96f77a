import { beforeEach, describe, expect, it } from 'vitest';
import type { OutputChunk } from '../runs/run-store.ts';
import { createOutputFlow, type OutputFlow, type OutputSource } from './output-flow.ts';
import { OutputWindow } from './output-window.ts';

const KIB = 1024;
const BUDGET = 256 * KIB;
let flow: OutputFlow;
let stored: OutputChunk[];
let resent: { agentId: string; round: number; windowBytes: number }[];
let ended: string[];
let refusals: number;

beforeEach(() => {
  stored = [];
  resent = [];
  ended = [];
  refusals = 0;
  flow = createOutputFlow(
    {
      store: (chunk) => void stored.push(chunk),
      resend: ({ agentId }, round, windowBytes) => void resent.push({ agentId, round, windowBytes }),
      violated: ({ agentId }) => void ended.push(`${agentId} violated`),
      busy: ({ agentId }) => void ended.push(`${agentId} busy`),
      agents: () => 4,
      onRefused: () => void refusals++,
    },
    BUDGET,
  );
});

function source(agentId: string, windowBytes = 1024 * KIB, resendsOutput = true): OutputSource {
  const output = new OutputWindow();
  output.grant(windowBytes);
  return { agentId, output, resendsOutput };
}

const send = (from: OutputSource, offset: number, round = 0, bytes = 32 * KIB) =>
  flow.arrived(from, { runId: 'r', agentId: from.agentId, offset, stream: 1, data: Buffer.alloc(bytes) }, round);

/** The database has this much more. */
function commit(from: OutputSource, chunks: number): void {
  const done = stored.splice(0, chunks);
  for (const { runId, offset, data } of done) from.output.committed(runId, offset + data.byteLength);
  flow.durable(done.reduce((sum, { data }) => sum + data.byteLength, 0));
}

describe('the window of an agent', () => {
  it('is its part of the budget, but not less than a chunk, and not so much that one alone fills the memory', () => {
    expect([1, 4, 8, 20_000].map((agents) => flow.windowFor(agents) / KIB)).toEqual([256, 64, 32, 32]);
    expect(createOutputFlow({ ...ignoring, agents: () => 1 }).windowFor(1) / KIB).toBe(512);
  });
  it('that is exceeded ends the session', () => {
    const loud = source('a', 32 * KIB);
    for (let i = 0; i < 3; i++) send(loud, i * 32 * KIB);
    expect(ended).toEqual(['a violated']);
    expect(stored).toHaveLength(2);
  });
});

describe('the output of all agents together', () => {
  it('is never more than the budget, whatever their windows allow', () => {
    const agents = Array.from({ length: 20 }, (_, i) => source(`a${i}`));
    for (let i = 0; i < 20; i++) for (const each of agents) send(each, i * 32 * KIB);
    expect(stored.reduce((sum, { data }) => sum + data.byteLength, 0)).toBe(BUDGET);
    expect(ended).toEqual([]);
    // Each that sent more was refused once: what it sends after that is dropped without a word.
    expect(refusals).toBe(20);
  });

  it('is asked for again when the database has caught up, first come, first served', () => {
    const first = source('first');
    for (let i = 0; i < 8; i++) send(first, i * 32 * KIB);
    const others = [1, 2, 3, 4].map((i) => source(`refused-${i}`));
    for (const each of others) send(each, 0);
    expect(resent).toEqual([]);
    commit(first, 4);
    expect(resent.map(({ agentId }) => agentId)).toEqual(['refused-1']);
    commit(first, 4);
    expect(resent.map(({ agentId }) => agentId)).toEqual(['refused-1', 'refused-2', 'refused-3']);
    expect(resent[0]).toMatchObject({ round: 1, windowBytes: 64 * KIB });
    const again = others[0];
    if (again === undefined) throw new Error('there are four');
    // What was on its way is not taken for what was asked for.
    send(again, 32 * KIB, 0);
    expect(stored).toEqual([]);
    send(again, 0, 1);
    expect(stored.map(({ agentId, offset }) => [agentId, offset])).toEqual([['refused-1', 0]]);
  });

  it('always goes on: when nothing is held any more somebody is asked, however large the windows', () => {
    const tight = createOutputFlow({ ...ignoring, agents: () => 1, resend: () => void refusals++ }, 32 * KIB);
    const one = source('a');
    const chunk = { runId: 'r', agentId: 'a', offset: 0, stream: 1 as const, data: Buffer.alloc(32 * KIB) };
    tight.arrived(one, chunk, 0);
    tight.arrived(one, { ...chunk, offset: 32 * KIB }, 0);
    tight.durable(32 * KIB);
    expect(refusals).toBe(1);
  });

  it('of an older agent, which cannot be asked again, ends its session instead', () => {
    const full = source('full');
    for (let i = 0; i < 8; i++) send(full, i * 32 * KIB);
    send(source('old', 1024 * KIB, false), 0);
    expect(ended).toEqual(['old busy']);
  });

  it('forgets those whose session has ended', () => {
    const full = source('full');
    for (let i = 0; i < 8; i++) send(full, i * 32 * KIB);
    const gone = source('gone');
    send(gone, 0);
    flow.forget(gone);
    commit(full, 8);
    expect(resent).toEqual([]);
  });
});

const ignoring = { store() {}, resend() {}, violated() {}, busy() {}, onRefused() {} };
