import type { HeldPack, PackState } from '@openline/proto/agent';
import { Heartbeat, ServerMessage } from '@openline/proto/agent';
import { describe, expect, it } from 'vitest';
import { createSessionHandler } from './session.ts';
import type { TaskEngine } from './tasks/engine.ts';
import { silentLog } from './telemetry/log.ts';

const digest = Buffer.from([1]);
const wanted = (...packs: HeldPack[]): ServerMessage => ({
  ...ServerMessage.create(),
  kind: { $case: 'packsWanted', value: { packs } },
});
const demo = wanted({ digest, name: 'demo', version: '1.0.0' });

/** A session whose packs end as it is told, one after the other, and whose time is the test's. */
function sessionWhere(...codes: string[]) {
  const told: PackState[][] = [];
  const timers: { inMs: number; run: () => void; cancelled: boolean }[] = [];
  const engine: TaskEngine = {
    journalId: 'j',
    openRunIds: () => [],
    room: { capacity: 1, queueLimit: 1 },
    offer() {},
    cancel() {},
    resultsCommitted() {},
    outputCommitted() {},
    outputResend() {},
    sessionOpened() {},
    sessionClosed() {},
    sessionWritable() {},
    health: () => Heartbeat.create(),
    stop: async () => {},
  };
  const handler = createSessionHandler(
    {
      link: () => ({
        packStatus: (states) => void told.push(states),
        fetchPack: () => Promise.reject(new Error('not asked')),
        beatEvery() {},
      }),
      engine: () => engine,
      packs: {
        held: () => [],
        newest: () => [],
        lookup: () => ({ kind: 'absent', code: 'PACK_NOT_HELD', reason: '' }),
        onChange() {},
        async want(packs) {
          const reasonCode = codes.shift() ?? '';
          return packs.map((pack) => ({ digest: pack.digest, ready: reasonCode === '', reasonCode, reason: '' }));
        },
      },
      log: silentLog,
      random: () => 0.5,
      clock: {
        after(inMs, run) {
          const timer = { inMs, run, cancelled: false };
          timers.push(timer);
          return {
            cancel() {
              timer.cancelled = true;
            },
          };
        },
      },
    },
    { machineId: 'm', labels: {}, facts: {} },
  );
  const settled = () => new Promise<void>((resolve) => setImmediate(resolve));
  return { handler, told, timers, settled };
}

describe('a pack that could not be had', () => {
  it('for a reason of this machine is tried again, later each time, until it is held', async () => {
    const { handler, told, timers, settled } = sessionWhere('PACK_READER_FAILED', 'DATA_DIR_UNUSABLE', '');
    handler.message(demo);
    for (const expected of [1, 2]) {
      await settled();
      expect(timers).toHaveLength(expected);
      timers.at(-1)?.run();
    }
    await settled();
    expect(told.flat().map(({ ready, reasonCode }) => ready || reasonCode)).toEqual([
      'PACK_READER_FAILED',
      'DATA_DIR_UNUSABLE',
      true,
    ]);
    expect(timers).toHaveLength(2);
    expect(timers[0]?.inMs).toBeLessThan(timers[1]?.inMs ?? 0);
  });

  it.each(['PACK_INVALID', 'PACK_SIGNATURE_INVALID', 'PACK_KEY_UNTRUSTED', 'PACK_DOWNGRADE'])(
    'because of %s is not: it would be refused again',
    async (code) => {
      const { handler, told, timers, settled } = sessionWhere(code);
      handler.message(demo);
      await settled();
      expect([told.length, timers.length]).toEqual([1, 0]);
    },
  );

  it('is not tried again when the server wants another set, nor without a session', async () => {
    const { handler, timers, settled } = sessionWhere('PACK_NOT_HELD', 'PACK_NOT_HELD', 'PACK_NOT_HELD');
    handler.message(demo);
    await settled();
    handler.message(demo);
    await settled();
    expect(timers.map(({ cancelled }) => cancelled)).toEqual([true, false]);
    handler.message(demo);
    handler.closed();
    await settled();
    expect(timers.map(({ cancelled }) => cancelled)).toEqual([true, true]);
  });
});
