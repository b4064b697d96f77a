import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { manualClock } from '../tasks/testing/manual-clock.ts';
import { silentLog } from '../telemetry/log.ts';
import { type TestAuthority, testAuthority } from '../testing/certificates.ts';
import { createRenewal } from './renewal.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

let authority: TestAuthority;
beforeAll(async () => {
  authority = await testAuthority();
});

/** An agent that just got a certificate of two days. */
async function running(wallAheadMs = 0) {
  const identity = await authority.agentIdentity(DAY_MS);
  const { validFrom } = new X509Certificate(identity.certificatePem);
  const time = manualClock(Date.parse(validFrom) + wallAheadMs);
  const renewed: number[] = [];
  const renewal = createRenewal({
    clock: time.clock,
    random: () => 0.5,
    log: silentLog,
    identity: () => identity,
    renew: async () => {
      renewed.push(time.clock.nowMs());
      return { certificatePem: identity.certificatePem, caPem: '' };
    },
    keep: async () => {},
  });
  renewal.start();
  return { ...time, renewal, renewed };
}

describe('a renewal', () => {
  it('comes at half of the life of the certificate', async () => {
    const { to, renewed } = await running();
    await to(23.9 * HOUR_MS);
    expect(renewed).toEqual([]);
    await to(24.1 * HOUR_MS);
    expect(renewed[0]).toBe(DAY_MS);
  });

  it('comes no later where the wall clock is set back', async () => {
    const { to, setWall, renewed } = await running();
    await to(HOUR_MS);
    setWall(-DAY_MS);
    await to(24.1 * HOUR_MS);
    expect(renewed[0]).toBe(DAY_MS);
  });

  it('does not wait for days when a clock that was days ahead is set right', async () => {
    const { to, setWall, renewed, renewal } = await running(3 * DAY_MS);
    // As it looks from there the certificate has run out.
    renewal.connected();
    await to(HOUR_MS);
    setWall(-3 * DAY_MS);
    const before = renewed.length;
    await to(25 * HOUR_MS);
    expect(renewed.length).toBeGreaterThan(before);
  });

  it('is soon after a machine slept beyond that half', async () => {
    const { to, setWall, renewed } = await running();
    await to(HOUR_MS);
    // Its monotonic clock and its timers stood still meanwhile.
    setWall(30 * HOUR_MS);
    await to(1.5 * HOUR_MS);
    expect(renewed[0]).toBeLessThan(1.5 * HOUR_MS);
  });
});
