import { OpenlineError } from '@openline/proto/errors';
import { describe, expect, it } from 'vitest';
import { withTestDatabase } from '../db/testing.ts';
import { noteRefusedRuns } from './refused-runs.ts';
import { createRunStore, type NewRun } from './run-store.ts';

const db = withTestDatabase();

const run: NewRun = {
  id: '0190a5b0-0000-7000-8000-000000000001',
  task: 'test/x',
  targets: 'all',
  packDigest: Buffer.alloc(32),
  packName: 'test',
  packVersion: '1.0.0',
  taskName: 'x',
  parametersJson: '{}',
  timeoutMs: 1000,
  ttlMs: 1000,
  offline: 'fail',
  requestedBy: 'admin',
  principalId: 'p',
  idempotencyKey: undefined,
  requestHash: Buffer.alloc(32),
  retryOf: undefined,
  createdAt: new Date(),
  expiresAt: new Date(),
};

describe('a store that could not take a run', () => {
  function broken() {
    let nowMs = 0;
    let full = true;
    const real = createRunStore(db.pool);
    const insertRun: typeof real.insertRun = (...args) =>
      full ? Promise.reject(new OpenlineError('STORE_UNAVAILABLE', 'no room')) : real.insertRun(...args);
    const noted = noteRefusedRuns({ ...real, insertRun }, { nowMs: () => nowMs });
    return {
      ...noted,
      later: (ms: number) => {
        nowMs += ms;
      },
      makeRoom: () => {
        full = false;
      },
    };
  }

  it('is a fault, until it takes one', async () => {
    const { store, fault, makeRoom } = broken();
    expect(fault()).toBeUndefined();
    await expect(store.insertRun(run, [])).rejects.toThrow('no room');
    expect(fault()).toBe('storing a run: no room');
    makeRoom();
    await store.insertRun(run, []);
    expect(fault()).toBeUndefined();
  });

  it('is none after ten seconds: a server that is not ready is asked nothing that could succeed', async () => {
    const { store, fault, later } = broken();
    await expect(store.insertRun(run, [])).rejects.toThrow('no room');
    later(10_000);
    expect(fault()).toBeUndefined();
  });
});
