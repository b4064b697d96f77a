import { beforeEach, describe, expect, it } from 'vitest';
import { ResultAcks } from './result-acks.ts';

describe('what is committed', () => {
  let told: Map<string, readonly string[]>[];
  let acks: ResultAcks;
  beforeEach(() => {
    told = [];
    acks = new ResultAcks((byAgent) => told.push(new Map(byAgent)));
  });

  it('waits for the next heartbeat of its agent, and is said once', () => {
    acks.add('a', 'run-1');
    acks.add('b', 'run-1');
    acks.add('a', 'run-2');
    expect(acks.take('a')).toEqual(['run-1', 'run-2']);
    expect(acks.take('a')).toEqual([]);
    expect(acks.take('b')).toEqual(['run-1']);
    expect(told).toEqual([]);
  });

  it('is said at once when an agent has very many results, which it keeps until then', () => {
    for (let i = 0; i < 101; i++) acks.add('busy', `run-${i}`);
    acks.add('quiet', 'run-1');
    expect(told.map((batch) => [...batch].map(([agent, runIds]) => [agent, runIds.length]))).toEqual([[['busy', 100]]]);
    expect(acks.take('busy')).toEqual(['run-100']);
    expect(acks.take('quiet')).toEqual(['run-1']);
  });

  it('is said to everybody when there is too much of it to keep', () => {
    for (let i = 0; i < 50_000; i++) acks.add(`agent-${i % 1_000}`, `run-${i}`);
    expect(told.map((batch) => [...batch.values()].flat().length)).toEqual([50_000]);
    expect(acks.take('agent-0')).toEqual([]);
  });
});
