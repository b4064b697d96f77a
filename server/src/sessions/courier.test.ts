import { ServerMessage } from '@openline/proto/agent';
import { beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../clock.ts';
import type { Owed } from '../runs/owed-store.ts';
import { createCourier } from './courier.ts';

const MIB = 1024 * 1024;
let sent: { agentId: string; message: Buffer }[];
let asked: string[][];
let failed: number[];
let handOver: (owed: readonly Owed[]) => Promise<void>;
let away: boolean;

beforeEach(() => {
  sent = [];
  asked = [];
  failed = [];
  away = false;
  handOver = createCourier({
    clock: systemClock,
    store: {
      async orders(runIds) {
        if (away) throw new Error('the database is away');
        asked.push([...runIds]);
        // In no order, and without the one that is gone.
        return runIds
          .filter((runId) => runId !== 'gone')
          .reverse()
          .map((runId) => ({
            runId,
            packName: 'p',
            packDigest: Buffer.alloc(32),
            taskName: 't',
            parametersJson: '{}',
            timeoutMs: 1_000,
            expiresAt: new Date(Date.now() + 60_000),
          }));
      },
    },
    send: (agentId, _order, message) => void sent.push({ agentId, message }),
    onFailure: (_error, dispatches) => void failed.push(dispatches),
  });
});

const owed = (runId: string, agentId: string, parameterBytes = 2): Owed => ({ runId, agentId, parameterBytes });
const runsTo = (agentId: string) =>
  sent
    .filter((one) => one.agentId === agentId)
    .flatMap(({ message }) => {
      const { kind } = ServerMessage.decode(message);
      return kind?.$case === 'tasks' ? kind.value.tasks.map((task) => task.runId) : [];
    });

describe('what is handed over', () => {
  it('is read and encoded once for each run, however many agents it goes to', async () => {
    const agents = Array.from({ length: 1_000 }, (_, i) => `a${i}`);
    await handOver(agents.map((agentId) => owed('run-1', agentId)));
    expect(asked).toEqual([['run-1']]);
    expect(sent.map(({ agentId }) => agentId)).toEqual(agents);
    expect(new Set(sent.map(({ message }) => message)).size).toBe(1);
  });
  it('goes to each agent in the order in which it was given, but for what is gone', async () => {
    await handOver([owed('run-1', 'a'), owed('gone', 'a'), owed('run-2', 'b'), owed('run-2', 'a'), owed('run-3', 'a')]);
    expect([runsTo('a'), runsTo('b')]).toEqual([['run-1', 'run-2', 'run-3'], ['run-2']]);
  });
  it('is read a few runs at a time when their parameters are large', async () => {
    await handOver([1, 2, 3, 4, 5].map((i) => owed(`run-${i}`, 'a', 7 * MIB)));
    expect(asked).toEqual([['run-1', 'run-2'], ['run-3', 'run-4'], ['run-5']]);
  });
  it('and cannot be read is counted, and left to the sweep', async () => {
    away = true;
    await handOver([owed('run-1', 'a'), owed('run-2', 'a')]);
    expect([failed, sent]).toEqual([[2], []]);
  });
});
