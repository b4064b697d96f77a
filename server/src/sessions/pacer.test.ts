import { beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../clock.ts';
import type { AgentRoom, Owed } from '../runs/owed-store.ts';
import { Load } from './load.ts';
import { createPacer, type Paced, type Pacer } from './pacer.ts';

/** Queued run ids by agent, as the store would have them. */
let queued: Map<string, string[]>;
let sessions: Map<string, Paced & { queuedBytes: number }>;
let handedOver: Owed[];
let looks: AgentRoom[][];
let failures: number;
let pacer: Pacer;

function connect(agentId: string, capacity: number, queueLimit: number, settled = true) {
  const load = new Load();
  load.hello({ capacity, queueLimit });
  if (settled) load.settle([]);
  const session = { load, queuedBytes: 0 };
  sessions.set(agentId, session);
  return session;
}

function queue(agentId: string, ...runIds: string[]): void {
  queued.set(agentId, [...(queued.get(agentId) ?? []), ...runIds]);
  pacer.waiting(agentId);
}

const at = (agentId: string) => handedOver.filter((owed) => owed.agentId === agentId).map((owed) => owed.runId);
/** Every look that was asked for has been made. */
const quiet = () => new Promise((resolve) => setTimeout(resolve, 20));

beforeEach(() => {
  queued = new Map();
  sessions = new Map();
  handedOver = [];
  looks = [];
  failures = 0;
  pacer = createPacer({
    clock: systemClock,
    ready: (agentId) => sessions.get(agentId),
    store: {
      async takeQueued(rooms) {
        if (failures-- > 0) throw new Error('the database is away');
        looks.push([...rooms]);
        return rooms.flatMap(({ agentId, places }) =>
          (queued.get(agentId) ?? []).splice(0, places).map((runId) => ({ runId, agentId, parameterBytes: 2 })),
        );
      },
    },
    handOver: async (owed) => void handedOver.push(...owed),
    onFailure() {},
  });
});

describe('a run for an agent', () => {
  it('with room takes a place, and nobody asks the store', async () => {
    connect('a', 2, 1);
    expect([1, 2, 3].map((i) => pacer.reserve(`run-${i}`, 'a', 2))).toEqual(['taken', 'taken', 'taken']);
    expect(pacer.reserve('run-4', 'a', 2)).toBe('full');
    expect(pacer.reserve('run-4', 'b', 2)).toBe('offline');
    await quiet();
    expect(looks).toEqual([]);
  });
  it('does not overtake those that wait', async () => {
    connect('a', 1, 0);
    pacer.reserve('run-1', 'a', 2);
    queue('a', 'run-2');
    pacer.ended('run-1', 'a');
    expect(pacer.reserve('run-3', 'a', 2)).toBe('full');
    await quiet();
    expect(at('a')).toEqual(['run-2']);
  });
  it('waits while the agent leaves much unread: it would only fill the memory of the server', () => {
    connect('a', 8, 256).queuedBytes = 5 * 1024 * 1024;
    expect(pacer.reserve('run-1', 'a', 2)).toBe('full');
  });
});

describe('what is queued for a connected agent', () => {
  it('goes over as its results come in, never more than it has room for, until nothing is left', async () => {
    const { load } = connect('a', 2, 2);
    const runs = Array.from({ length: 50 }, (_, i) => `run-${i}`);
    queue('a', ...runs);
    for (let done = 0; done < 50; done++) {
      await quiet();
      expect(load.size).toBeLessThanOrEqual(4);
      expect(at('a').length - done).toBe(load.size);
      pacer.ended(`run-${done}`, 'a');
    }
    expect(at('a')).toEqual(runs);
    await quiet();
    // Nothing waits any more: the next one goes straight on.
    expect(pacer.reserve('run-50', 'a', 2)).toBe('taken');
  });
  it('is looked for once for many results: when half of the queue is free', async () => {
    const { load } = connect('a', 8, 256);
    queue('a', ...Array.from({ length: 1_000 }, (_, i) => `run-${i}`));
    let done = 0;
    const ends = async (count: number) => {
      for (; count > 0; count--) pacer.ended(`run-${done++}`, 'a');
      await quiet();
    };
    await quiet();
    while (load.isLow) await ends(1);
    const before = looks.length;
    await ends(load.size - 137);
    expect(looks.length).toBe(before);
    await ends(1);
    expect(looks.length).toBe(before + 1);
  });
  it('is looked for as soon as it is known what the agent has from before, and not sooner', async () => {
    const { load } = connect('a', 2, 2, false);
    expect(pacer.reserve('run-1', 'a', 2)).toBe('full');
    queue('a', 'run-1');
    await quiet();
    expect(looks).toEqual([]);
    load.settle([
      ['before-1', 2],
      ['before-2', 2],
    ]);
    pacer.settled('a');
    await quiet();
    expect(looks.flat()).toMatchObject([{ agentId: 'a', places: 2 }]);
    expect(at('a')).toEqual(['run-1']);
  });
  it('is looked for again when it was not room in the queue that was missing', async () => {
    const session = connect('a', 8, 256);
    session.queuedBytes = 5 * 1024 * 1024;
    queue('a', 'run-1');
    await quiet();
    expect(at('a')).toEqual([]);
    session.queuedBytes = 0;
    pacer.tick();
    await quiet();
    expect(at('a')).toEqual(['run-1']);
  });
  it('goes over when the database is back, and then, too, no more than there is room for', async () => {
    connect('a', 1, 1);
    failures = 2;
    queue('a', 'run-1');
    await quiet();
    queue('a', 'run-2', 'run-3', 'run-4');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(at('a')).toEqual(['run-1', 'run-2']);
  });
  it('of many agents is looked for a hundred agents at a time', async () => {
    for (let i = 0; i < 250; i++) {
      connect(`a${i}`, 1, 0);
      queue(`a${i}`, `run-${i}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(looks.map((rooms) => rooms.length)).toEqual([100, 100, 50]);
    expect(handedOver).toHaveLength(250);
  });
  it('of an agent that is gone is left to its next Hello', async () => {
    connect('a', 1, 0);
    pacer.reserve('run-1', 'a', 2);
    queue('a', 'run-2');
    await quiet();
    sessions.delete('a');
    pacer.forget('a');
    pacer.ended('run-1', 'a');
    await quiet();
    expect(looks).toEqual([]);
    // When it is back and nothing waits for it (it was cancelled, say), the next run goes straight on.
    connect('a', 1, 0);
    expect(pacer.reserve('run-3', 'a', 2)).toBe('taken');
  });
});
