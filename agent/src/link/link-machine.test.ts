import { DisconnectCode } from '@openline/proto/agent';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Action,
  DEFAULT_LINK_POLICY,
  type Input,
  isCurrent,
  type LinkPolicy,
  type LinkState,
  step,
  wakeAtMs,
} from './link-machine.ts';

const policy: LinkPolicy = { ...DEFAULT_LINK_POLICY, servers: 1 };
const three: LinkPolicy = { ...policy, servers: 3 };

/** Plays inputs with their times; chance is always in the middle unless told. */
function play(inputs: readonly (readonly [number, Input])[], p = policy, random = () => 0.5) {
  let link: LinkState = { kind: 'idle', streams: 0 };
  let actions: Action[] = [];
  const all: Action[] = [];
  for (const [nowMs, input] of inputs) {
    [link, actions] = step(link, input, { nowMs, random, policy: p });
    all.push(...actions);
  }
  return { link, actions, all };
}

const start: Input = { kind: 'start' };
const tick: Input = { kind: 'tick' };
const welcome = (stream: number): Input => ({ kind: 'welcome', stream, heartbeatMs: 15_000 });
const ended = (stream: number, cause: 'lost' | 'untrusted' | 'refused' = 'lost'): Input => ({
  kind: 'ended',
  stream,
  cause,
});
const disconnect = (stream: number, code: DisconnectCode, retryAfterMs = 0): Input => ({
  kind: 'disconnect',
  stream,
  code,
  retryAfterMs,
});
const reconnect = (stream: number, afterMs: number): Input => ({ kind: 'reconnect', stream, afterMs });
const kinds = (actions: readonly Action[]) => actions.map((a) => a.kind);
const dials = (actions: readonly Action[]) => actions.flatMap((a) => (a.kind === 'dial' ? [a.server] : []));
const wait = (link: LinkState, nowMs: number) => (link.kind === 'waiting' ? link.untilMs - nowMs : undefined);

describe('a link that starts', () => {
  it('dials the first server at once', () => {
    expect(play([[0, start]]).actions).toEqual([{ kind: 'dial', stream: 1, server: 0 }]);
  });

  it('is greeting once connected, and ready only with Welcome', () => {
    const greeting = play([
      [0, start],
      [5, { kind: 'connected', stream: 1 }],
    ]);
    expect(greeting.link).toMatchObject({ kind: 'rising', rising: { phase: 'greeting' } });
    const ready = play([
      [0, start],
      [5, { kind: 'connected', stream: 1 }],
      [9, welcome(1)],
    ]);
    expect(ready.link).toMatchObject({ kind: 'ready', stream: 1 });
    expect(ready.actions).toEqual([{ kind: 'sessionOpened', stream: 1 }]);
  });

  it('waits for Welcome 14,999 ms, and gives the channel up one millisecond later', () => {
    expect(
      play([
        [0, start],
        [14_999, tick],
      ]).actions,
    ).toEqual([]);
    expect(
      kinds(
        play([
          [0, start],
          [15_000, tick],
        ]).actions,
      ),
    ).toEqual(['close', 'retrying']);
  });

  it('is not held up by a server that connects and talks but never welcomes', () => {
    const { link } = play([
      [0, start],
      [10, { kind: 'connected', stream: 1 }],
      [14_000, { kind: 'heard', stream: 1 }],
      [15_000, tick],
    ]);
    expect(link.kind).toBe('waiting');
  });
});

describe('a ready link', () => {
  const ready: [number, Input][] = [
    [0, start],
    [0, welcome(1)],
  ];

  it('survives one millisecond less than three heartbeats of silence', () => {
    expect(play([...ready, [44_999, tick]]).link.kind).toBe('ready');
  });

  it('leaves a silent server for a new channel after three heartbeats', () => {
    const { link, actions } = play([...ready, [45_000, tick]]);
    expect(link.kind).toBe('waiting');
    expect(kinds(actions)).toEqual(['sessionClosed', 'close', 'retrying']);
  });

  it('counts the silence from the last frame, whatever it was', () => {
    const { link } = play([...ready, [44_999, { kind: 'heard', stream: 1 }], [89_998, tick]]);
    expect(link.kind).toBe('ready');
  });

  it('waits for three heartbeats of the new pace when the pace changes', () => {
    const paced: Input = { kind: 'paced', stream: 1, heartbeatMs: 1_000 };
    expect(
      play([...ready, [10_000, paced], [2_999 + 10_000, { kind: 'heard', stream: 1 }], [15_998, tick]]).link.kind,
    ).toBe('ready');
    expect(play([...ready, [10, { kind: 'heard', stream: 1 }], [20, paced], [3_010, tick]]).link.kind).toBe('waiting');
  });

  it('comes back within two seconds after a session that held', () => {
    const { link } = play([...ready, [46_000, ended(1)]], policy, () => 0.999);
    expect(wait(link, 46_000)).toBeLessThan(2_000);
  });

  it('waits longer and longer for a server that welcomes and drops it again and again', () => {
    const inputs: [number, Input][] = [[0, start]];
    let nowMs = 0;
    const waits: number[] = [];
    for (let stream = 1; stream <= 12; stream++) {
      inputs.push([nowMs, welcome(stream)], [nowMs, ended(stream)]);
      const waited = wait(play(inputs, policy, () => 1).link, nowMs) ?? 0;
      waits.push(waited);
      nowMs += waited;
      inputs.push([nowMs, tick]);
    }
    expect(waits.slice(0, 4)).toEqual([3_000, 4_500, 6_750, 10_125]);
    expect(waits.slice(-2)).toEqual([60_000, 60_000]);
  });
});

describe('a server that asks to be left', () => {
  const asked: [number, Input][] = [
    [0, start],
    [0, welcome(1)],
    [10, reconnect(1, 5_000)],
  ];

  it('is left only after the time it named', () => {
    expect(play([...asked, [5_009, tick]]).actions).toEqual([]);
    expect(play([...asked, [5_010, tick]]).actions).toEqual([{ kind: 'dial', stream: 2, server: 0 }]);
  });

  it('keeps serving on the old stream until the new one is welcomed', () => {
    const { link } = play([...asked, [5_010, tick], [5_020, { kind: 'connected', stream: 2 }]]);
    expect(isCurrent(link, 1)).toBe(true);
    expect(isCurrent(link, 2)).toBe(true);
  });

  it('is closed after the new session is open, never before', () => {
    const { link, actions } = play([...asked, [5_010, tick], [5_050, welcome(2)]]);
    expect(link).toMatchObject({ kind: 'ready', stream: 2 });
    expect(actions).toEqual([
      { kind: 'sessionClosed', stream: 1 },
      { kind: 'sessionOpened', stream: 2 },
      { kind: 'close', stream: 1 },
    ]);
    expect(isCurrent(link, 1)).toBe(false);
  });

  it('is stayed with when the new stream fails, and left at another time', () => {
    const { link, actions } = play([...asked, [5_010, tick], [5_050, ended(2)]]);
    expect(link).toMatchObject({ kind: 'ready', stream: 1, move: { atMs: 35_050, server: 0 } });
    expect(actions).toEqual([{ kind: 'close', stream: 2 }]);
  });

  it('may close first: the stream that is rising then becomes the line, without a wait', () => {
    const { link, actions } = play([...asked, [5_010, tick], [5_020, ended(1)]]);
    expect(link).toMatchObject({ kind: 'rising', rising: { stream: 2 } });
    expect(actions).toEqual([
      { kind: 'sessionClosed', stream: 1 },
      { kind: 'close', stream: 1 },
    ]);
  });

  it('may supersede the old stream as soon as it sees the new one', () => {
    const { link } = play([
      ...asked,
      [5_010, tick],
      [5_020, disconnect(1, DisconnectCode.DISCONNECT_CODE_SUPERSEDED)],
      [5_030, welcome(2)],
    ]);
    expect(link).toMatchObject({ kind: 'ready', stream: 2 });
  });
});

describe('a list of servers', () => {
  it('is gone through in order, and begun again', () => {
    const inputs: [number, Input][] = [[0, start]];
    let nowMs = 0;
    for (let stream = 1; stream <= 5; stream++) {
      inputs.push([nowMs, ended(stream)], [nowMs + 60_000, tick]);
      nowMs += 60_000;
    }
    expect(dials(play(inputs, three).all)).toEqual([0, 1, 2, 0, 1, 2]);
  });

  it('waits longer only after each round through it', () => {
    const first = play(
      [
        [0, start],
        [0, ended(1)],
        [1_000, tick],
        [1_000, ended(2)],
      ],
      three,
      () => 1,
    );
    expect(wait(first.link, 1_000)).toBe(1_000);
  });

  const onSecond: [number, Input][] = [
    [0, start],
    [0, ended(1)],
    [1_000, tick],
    [1_000, welcome(2)],
  ];
  const alive: [number, Input] = [300_000, { kind: 'heard', stream: 2 }];

  it('goes back to the first, without a gap, some minutes after a failover', () => {
    const probing = play([...onSecond, alive, [301_000, tick]], three);
    expect(probing.actions).toEqual([{ kind: 'dial', stream: 3, server: 0 }]);
    expect(probing.link).toMatchObject({ kind: 'ready', stream: 2 });
    const back = play([...onSecond, alive, [301_000, tick], [301_010, welcome(3)]], three);
    expect(back.link).toMatchObject({ kind: 'ready', stream: 3, server: 0, move: undefined });
  });

  it('stays on the second while the first does not answer', () => {
    const { link } = play([...onSecond, alive, [301_000, tick], [301_010, ended(3)]], three);
    expect(link).toMatchObject({ kind: 'ready', stream: 2, move: { atMs: 601_010, server: 0 } });
  });

  it('begins at the first again when the session on a later one breaks', () => {
    const { link } = play([...onSecond, [60_000, ended(2)]], three);
    expect(link).toMatchObject({ kind: 'waiting', server: 0 });
  });
});

describe('a link that is told to go', () => {
  const after = (input: Input) =>
    play([
      [0, start],
      [0, welcome(1)],
      [60_000, input],
    ]);
  const waitAfter = (code: DisconnectCode, retryAfterMs = 0) =>
    wait(after(disconnect(1, code, retryAfterMs)).link, 60_000);

  it('waits minutes, and tries an unused join token, when it was revoked', () => {
    const { link, actions } = after(disconnect(1, DisconnectCode.DISCONNECT_CODE_REVOKED));
    expect(wait(link, 60_000)).toBe(300_000);
    expect(actions).toContainEqual({ kind: 'retrying', code: 'AGENT_REVOKED', inMs: 300_000, loud: true });
    expect(actions).toContainEqual({ kind: 'enrollAgain' });
  });

  it('waits a minute or two when its identity is used by another', () => {
    expect(waitAfter(DisconnectCode.DISCONNECT_CODE_IDENTITY_IN_USE)).toBe(90_000);
    expect(waitAfter(DisconnectCode.DISCONNECT_CODE_SUPERSEDED)).toBe(90_000);
  });

  it('waits minutes when there is no common protocol', () => {
    expect(waitAfter(DisconnectCode.DISCONNECT_CODE_PROTOCOL_UNSUPPORTED)).toBe(300_000);
  });

  it('never comes back before the time the server named', () => {
    expect(waitAfter(DisconnectCode.DISCONNECT_CODE_SERVER_BUSY, 20_000)).toBeGreaterThanOrEqual(20_000);
  });

  it('enrols again when its certificate is not accepted, and dials at once with the new one', () => {
    const refused = after(ended(1, 'refused'));
    expect(refused.actions).toContainEqual({ kind: 'enrollAgain' });
    const [, actions] = step(refused.link, { kind: 'enrolled' }, { nowMs: 60_100, random: () => 0.5, policy });
    expect(actions).toEqual([{ kind: 'dial', stream: 2, server: 0 }]);
  });

  it('is loud about a server that is not the expected one', () => {
    const { actions } = play([
      [0, start],
      [1, ended(1, 'untrusted')],
    ]);
    expect(actions).toContainEqual({ kind: 'retrying', code: 'SERVER_UNTRUSTED', inMs: 1_000, loud: true });
  });
});

describe('any history whatsoever', () => {
  const stream = fc.integer({ min: 1, max: 6 });
  const anyInput: fc.Arbitrary<Input> = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom<Input>({ kind: 'tick' }) },
    fc.constantFrom<Input>({ kind: 'start' }, { kind: 'enrolled' }),
    { weight: 3, arbitrary: stream.map(welcome) },
    stream.map((s): Input => ({ kind: 'connected', stream: s })),
    stream.map((s): Input => ({ kind: 'heard', stream: s })),
    fc.tuple(stream, fc.nat(60_000)).map(([s, ms]) => reconnect(s, ms)),
    fc
      .tuple(stream, fc.constantFrom(...Object.values(DisconnectCode)), fc.nat(30_000))
      .map(([s, code, ms]) => disconnect(s, code, ms)),
    fc.tuple(stream, fc.constantFrom('lost', 'untrusted', 'refused')).map(([s, cause]) => ended(s, cause)),
    { weight: 1, arbitrary: fc.constant<Input>({ kind: 'stop' }) },
  );
  const history = fc.array(fc.tuple(fc.nat(70_000), anyInput), { maxLength: 60 });
  const servers = fc.integer({ min: 1, max: 3 });

  it('holds at most two streams, closes each stream it dials once, and pairs the sessions', () => {
    fc.assert(
      fc.property(history, servers, fc.double({ min: 0, max: 0.999, noNaN: true }), (inputs, n, chance) => {
        const p = { ...policy, servers: n };
        let link: LinkState = { kind: 'idle', streams: 0 };
        let nowMs = 0;
        const open = new Set<number>();
        let session: number | undefined;
        for (const [afterMs, input] of [[0, start] as const, ...inputs, [0, { kind: 'stop' }] as const]) {
          nowMs += afterMs;
          const [next, actions] = step(link, input, { nowMs, random: () => chance, policy: p });
          for (const action of actions) {
            if (action.kind === 'dial') {
              expect(open.has(action.stream)).toBe(false);
              open.add(action.stream);
            }
            if (action.kind === 'close') expect(open.delete(action.stream)).toBe(true);
            if (action.kind === 'sessionOpened') {
              expect(session).toBeUndefined();
              session = action.stream;
            }
            if (action.kind === 'sessionClosed') {
              expect(session).toBe(action.stream);
              session = undefined;
            }
            if (action.kind === 'retrying') expect(action.inMs).toBeGreaterThanOrEqual(0);
          }
          expect(open.size).toBeLessThanOrEqual(2);
          for (const s of open) expect(isCurrent(next, s)).toBe(true);
          expect(session === undefined).toBe(next.kind !== 'ready');
          link = next;
        }
        expect(open.size).toBe(0);
      }),
      { numRuns: 500 },
    );
  });

  it('never gets stuck: unless stopped there is always a next moment, and a tick then moves it on', () => {
    fc.assert(
      fc.property(history, servers, (inputs, n) => {
        const p = { ...policy, servers: n };
        const { link } = play([[0, start], ...accumulate(inputs)], p);
        if (link.kind === 'stopped') return;
        const wakeMs = wakeAtMs(link, p);
        expect(wakeMs).toBeDefined();
        const [next] = step(link, tick, { nowMs: wakeMs ?? 0, random: () => 0.5, policy: p });
        expect(next).not.toEqual(link);
      }),
      { numRuns: 500 },
    );
  });

  it('ignores every stream that was given up', () => {
    fc.assert(
      fc.property(history, anyInput, (inputs, late) => {
        const { link } = play([[0, start], ...accumulate(inputs)]);
        if (!('stream' in late) || isCurrent(link, late.stream)) return;
        expect(step(link, late, { nowMs: 1e9, random: () => 0.5, policy })).toEqual([link, []]);
      }),
      { numRuns: 500 },
    );
  });
});

function accumulate(inputs: readonly (readonly [number, Input])[]): [number, Input][] {
  let nowMs = 0;
  return inputs.map(([afterMs, input]) => {
    nowMs += afterMs;
    return [nowMs, input];
  });
}
