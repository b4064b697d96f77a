import { describe, expect, it } from 'vitest';
import { agentMessage, aPack } from '../testing/messages.ts';
import { agentView } from '../views/agent.ts';
import { packView } from '../views/pack.ts';
import { checkAgents, checkCertificate, checkClock, checkPacks, checkVersions } from './checks.ts';

const now = Date.UTC(2026, 0, 2, 12, 0, 0);

describe('the doctor', () => {
  it('takes clocks within two seconds for equal, warns beyond, and fails beyond five minutes', () => {
    const check = (offMs: number) => checkClock(new Date(now - offMs).toUTCString(), now, now + 5)?.status;
    expect([check(0), check(1_500), check(-1_500), check(10_000), check(-10_000), check(600_000)]).toEqual([
      'ok',
      'ok',
      'ok',
      'warn',
      'warn',
      'fail',
    ]);
    expect(checkClock(new Date(now + 60_000).toUTCString(), now, now)?.detail).toMatch(/behind/);
    expect(checkClock(undefined, now, now)).toBeUndefined();
  });
  it('warns a day before the server’s certificate expires', () => {
    const check = (days: number) => checkCertificate(now + days * 86_400_000, now).status;
    expect([check(2), check(0.5), check(-1)]).toEqual(['ok', 'warn', 'fail']);
  });
  it('names agents that are offline, faulty, or about to lose their certificate', () => {
    const agents = [
      agentMessage('a', { online: false }),
      agentMessage('b', { fault: 'the executor does not answer' }),
      agentMessage('c', { certificateExpiresUnixMs: BigInt(now + 60_000) }),
    ].map(agentView);
    expect(checkAgents(agents, now).map((check) => check.detail)).toEqual([
      '2 of 3 connected; offline: a',
      'b: the executor does not answer',
      'less than a quarter of an hour left, and not renewed: c',
    ]);
    expect(checkAgents([], now)[0]?.status).toBe('warn');
  });
  it('says which agent refused a pack, and why', () => {
    const digest = Buffer.alloc(32, 7);
    const refused = {
      name: 'linux',
      version: '1.0.0',
      digest,
      ready: false,
      reasonCode: 'PACK_KEY_UNTRUSTED',
      reason: 'key ABC',
    };
    const checks = checkPacks(
      [packView(aPack({ refusedAgents: 1 }))],
      [agentView(agentMessage('web-1', { packs: [refused] }))],
    );
    expect(checks[0]?.detail).toBe('linux 1.0.0 is refused by 1 agents, e.g. web-1: PACK_KEY_UNTRUSTED key ABC');
    expect(checks[0]?.doNext).toContain('trusted key');
  });
  it('minds the minor version', () => {
    expect([checkVersions('0.1.0', '0.1.9').status, checkVersions('0.1.0', '0.2.0').status]).toEqual(['ok', 'warn']);
  });
});
