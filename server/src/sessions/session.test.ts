import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Action, contest, type Holder, type Input, type Session, type SessionPolicy, step } from './session.ts';

const policy: SessionPolicy = {
  protocolMin: 2,
  protocolMax: 3,
  greetingMs: 15_000,
  queueLimitBytes: 1_000,
};
const greeting: Session = { kind: 'greeting', sinceMs: 0 };
const ready: Session = { kind: 'ready', heardMs: 0, epoch: 7, silenceMs: 45_000, nextSilenceMs: 45_000 };
const hello: Input = { kind: 'hello', protocolMin: 1, protocolMax: 2 };
const tick: Input = { kind: 'tick', certificateExpired: false, queuedBytes: 0 };

const run = (session: Session, input: Input, nowMs = 0) => step(session, input, nowMs, policy);
const closeCode = (session: Session) => (session.kind === 'closed' ? session.code : undefined);

describe('a stream that was just opened', () => {
  it('waits for Hello exactly as long as the policy says', () => {
    expect(run(greeting, tick, 15_000)[0].kind).toBe('greeting');
    expect(closeCode(run(greeting, tick, 15_001)[0])).toBe('AGENT_SILENT');
  });
  it('takes Hello and asks for an epoch', () => {
    expect(run(greeting, hello, 5)).toEqual([{ kind: 'opening', sinceMs: 5 }, [{ kind: 'open' }]]);
  });
  it('refuses an agent whose protocol range does not meet ours', () => {
    expect(closeCode(run(greeting, { kind: 'hello', protocolMin: 4, protocolMax: 9 })[0])).toBe('PROTOCOL_UNSUPPORTED');
    expect(closeCode(run(greeting, { kind: 'hello', protocolMin: 0, protocolMax: 1 })[0])).toBe('PROTOCOL_UNSUPPORTED');
  });
  it('allows nothing before Welcome', () => {
    for (const input of [{ kind: 'heartbeat' }, { kind: 'message' }] as const) {
      expect(closeCode(run(greeting, input)[0])).toBe('PROTOCOL_VIOLATION');
      expect(closeCode(run({ kind: 'opening', sinceMs: 0 }, input)[0])).toBe('PROTOCOL_VIOLATION');
    }
  });
});

describe('a ready session', () => {
  it('survives exactly silenceMs without a heartbeat', () => {
    expect(run(ready, tick, 45_000)[0].kind).toBe('ready');
    expect(closeCode(run(ready, tick, 45_001)[0])).toBe('AGENT_SILENT');
  });
  it('is kept alive by heartbeats, not by other messages: only a heartbeat proves that the executor works', () => {
    const [afterMessage] = run(ready, { kind: 'message' }, 40_000);
    expect(closeCode(run(afterMessage, tick, 46_000)[0])).toBe('AGENT_SILENT');
    const [afterHeartbeat] = run(ready, { kind: 'heartbeat' }, 40_000);
    expect(run(afterHeartbeat, tick, 46_000)[0].kind).toBe('ready');
  });
  it('tolerates more silence as soon as its policy does', () => {
    const [longer] = run(ready, { kind: 'policy', silenceMs: 90_000 }, 44_000);
    expect(run(longer, tick, 90_000)[0].kind).toBe('ready');
    expect(closeCode(run(longer, tick, 90_001)[0])).toBe('AGENT_SILENT');
  });
  it('tolerates less only from the next heartbeat on: its agent may not know of it yet', () => {
    const [shorter] = run(ready, { kind: 'policy', silenceMs: 1_000 }, 40_000);
    expect(run(shorter, tick, 45_000)[0].kind).toBe('ready');
    const [beaten] = run(shorter, { kind: 'heartbeat' }, 45_000);
    expect(run(beaten, tick, 46_000)[0].kind).toBe('ready');
    expect(closeCode(run(beaten, tick, 46_001)[0])).toBe('AGENT_SILENT');
  });
  it('is closed when its agent does not read', () => {
    expect(run(ready, { ...tick, queuedBytes: 1_000 })[0].kind).toBe('ready');
    expect(closeCode(run(ready, { ...tick, queuedBytes: 1_001 })[0])).toBe('AGENT_TOO_SLOW');
  });
  it('is closed when its certificate has expired', () => {
    expect(closeCode(run(ready, { ...tick, certificateExpired: true })[0])).toBe('CERTIFICATE_EXPIRED');
  });
  it('is closed by a second Hello and by what cannot be decoded', () => {
    expect(closeCode(run(ready, hello)[0])).toBe('PROTOCOL_VIOLATION');
    expect(closeCode(run(ready, { kind: 'nonsense', what: 'x' })[0])).toBe('PROTOCOL_VIOLATION');
  });
});

describe('whatever happens to a session', () => {
  const inputs = fc.array(
    fc.oneof(
      fc.record({ kind: fc.constant('hello' as const), protocolMin: fc.nat(4), protocolMax: fc.nat(4) }),
      fc.record({ kind: fc.constant('opened' as const), epoch: fc.nat(), silenceMs: fc.nat(100_000) }),
      fc.record({ kind: fc.constant('policy' as const), silenceMs: fc.nat(100_000) }),
      fc.record({ kind: fc.constant('tick' as const), certificateExpired: fc.boolean(), queuedBytes: fc.nat(2_000) }),
      fc.constantFrom<Input>({ kind: 'heartbeat' }, { kind: 'message' }, { kind: 'streamEnded' }),
      fc.record({ kind: fc.constant('nonsense' as const), what: fc.string() }),
      fc.record({ kind: fc.constant('close' as const), code: fc.constant('AGENT_REVOKED' as const), why: fc.string() }),
    ),
  );
  it('it is disconnected at most once, does nothing after, and is welcomed at most once and only after it was opened', () => {
    fc.assert(
      fc.property(inputs, fc.array(fc.nat(20_000)), (sequence, delays) => {
        let session: Session = greeting;
        let nowMs = 0;
        const actions: Action['kind'][] = [];
        for (const [index, input] of sequence.entries()) {
          nowMs += delays[index] ?? 1;
          const [next, done] = run(session, input, nowMs);
          if (session.kind === 'closed') expect(done).toEqual([]);
          actions.push(...done.map((a) => a.kind));
          session = next;
        }
        const at = (kind: Action['kind']) => actions.indexOf(kind);
        expect(actions.filter((a) => a === 'disconnect').length).toBeLessThanOrEqual(1);
        expect(actions.filter((a) => a === 'welcome').length).toBeLessThanOrEqual(1);
        if (at('welcome') >= 0) expect(at('open')).toBeLessThan(at('welcome'));
        if (at('deliver') >= 0) expect(at('welcome')).toBeLessThan(at('deliver'));
        if (at('disconnect') >= 0) expect(at('disconnect')).toBe(actions.length - 1);
      }),
    );
  });
});

describe('two that say Hello with one identity', () => {
  const holder: Holder = { instanceId: 'a', machineId: 'm', journalId: 'j', superseded: [] };
  it('are one process that reconnects: the newer stream takes over', () => {
    expect(contest(holder, holder).kind).toBe('supersede');
  });
  it('are an agent that was restarted: the newer process takes over', () => {
    expect(contest(holder, { ...holder, instanceId: 'b' })).toEqual({ kind: 'supersede', superseded: ['a'] });
  });
  it('are a copy on another machine, or of the data directory: the newcomer is refused', () => {
    expect(contest(holder, { ...holder, instanceId: 'b', machineId: 'other' }).kind).toBe('refuse');
    expect(contest(holder, { ...holder, instanceId: 'b', journalId: 'other' }).kind).toBe('refuse');
  });
  it('are clones with everything in common: the one that was taken over and comes back is refused', () => {
    const second = contest(holder, { ...holder, instanceId: 'b' });
    if (second.kind !== 'supersede') throw new Error('expected a take-over');
    const now: Holder = { ...holder, instanceId: 'b', superseded: second.superseded };
    expect(contest(now, holder).kind).toBe('refuse');
  });
});
