import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type DispatchChange,
  type DispatchState,
  initialState,
  isEnd,
  mergeChanges,
  onHello,
  STATES,
  takes,
} from './dispatch.ts';

const states = Object.keys(STATES) as DispatchState[];
const anyState = fc.constantFrom(...states);

describe('the life of a dispatch', () => {
  it('only goes forward, and ends once', () => {
    fc.assert(
      fc.property(fc.array(anyState), (said) => {
        let state: DispatchState = 'queued';
        let ends = 0;
        for (const next of said) {
          if (!takes(state, next)) continue;
          expect(STATES[next] > STATES[state] || state === 'lost').toBe(true);
          if (isEnd(next)) ends++;
          state = next;
        }
        expect(ends).toBeLessThanOrEqual(2);
      }),
    );
  });
  it('may replace «lost», which means that nobody knew, by what the agent reports later; nothing else', () => {
    expect(takes('lost', 'succeeded')).toBe(true);
    expect(takes('lost', 'lost')).toBe(false);
    expect(takes('lost', 'running')).toBe(false);
    for (const end of states.filter(isEnd).filter((s) => s !== 'lost')) {
      for (const next of states) expect(takes(end, next)).toBe(false);
    }
  });
});

describe('changes of one dispatch that wait together', () => {
  const change = (state: DispatchState, more: Partial<DispatchChange> = {}): DispatchChange => ({
    runId: 'r',
    agentId: 'a',
    epoch: 1,
    state,
    ...more,
  });
  it('become one that says all they said', () => {
    const acceptedAt = new Date(1);
    const startedAt = new Date(2);
    const merged = mergeChanges(change('accepted', { acceptedAt }), change('running', { startedAt }));
    expect(merged).toEqual(change('running', { acceptedAt, startedAt }));
  });
  it('end in the state that taking them one by one would end in', () => {
    fc.assert(
      fc.property(anyState, anyState, anyState, (current, first, then) => {
        const fold = [first, then].reduce((state, next) => (takes(state, next) ? next : state), current);
        const { state } = mergeChanges(change(first), change(then));
        const merged = takes(current, state) ? state : current;
        // One exception is harmless: an agent never says an end and then another one.
        if (isEnd(first) && isEnd(then)) return;
        expect(merged).toBe(fold);
      }),
    );
  });
});

describe('a target of a new run', () => {
  const target = { agentId: 'a', place: 'taken', unfit: undefined } as const;
  it('that is connected is born sent, before anything is handed over', () => {
    expect(initialState(target, 'fail').state).toBe('sent');
  });
  it('that is connected and has no room waits, also when the run does not wait for those that are away', () => {
    expect(initialState({ ...target, place: 'full' }, 'fail')).toEqual({ state: 'queued', reasonCode: '', reason: '' });
  });
  it('that is offline waits, or is rejected at once, as the run says', () => {
    expect(initialState({ ...target, place: 'offline' }, 'wait').state).toBe('queued');
    expect(initialState({ ...target, place: 'offline' }, 'fail')).toMatchObject({
      state: 'rejected',
      reasonCode: 'AGENT_OFFLINE',
    });
  });
  it('that can never run it is rejected with the reason, online or not', () => {
    const unfit = { code: 'REQUIREMENTS_NOT_MET', reason: 'no bash' } as const;
    expect(initialState({ ...target, unfit }, 'wait')).toEqual({
      state: 'rejected',
      reasonCode: unfit.code,
      reason: unfit.reason,
    });
  });
});

describe('an agent that comes back', () => {
  const owed = { runId: 'r', agentId: 'a', state: 'sent', runCancelled: false, expired: false } as const;
  it('gets what it may not have got', () => {
    expect(onHello(owed, false, false).kind).toBe('send');
  });
  it('is left to report what its journal knows', () => {
    expect(onHello({ ...owed, state: 'running' }, true, false).kind).toBe('await');
    expect(onHello({ ...owed, state: 'running', runCancelled: true }, true, false).kind).toBe('cancel');
  });
  it('never starts again what it had accepted and its journal has forgotten', () => {
    for (const state of ['accepted', 'running'] as const) {
      expect(onHello({ ...owed, state }, false, false)).toMatchObject({
        kind: 'end',
        state: 'lost',
        reasonCode: 'JOURNAL_REPLACED',
      });
    }
  });
  it('as the same process is believed to know more than its Hello said: it may have accepted it while it opened the new stream', () => {
    for (const state of ['accepted', 'running'] as const) {
      expect(onHello({ ...owed, state }, false, true).kind).toBe('await');
      expect(onHello({ ...owed, state, runCancelled: true }, false, true).kind).toBe('cancel');
    }
    expect(onHello({ ...owed, runCancelled: true }, false, true).kind).toBe('cancel');
    expect(onHello({ ...owed, expired: true }, false, true).kind).toBe('send');
  });
  it('is not sent what was cancelled or has expired meanwhile', () => {
    expect(onHello({ ...owed, runCancelled: true }, false, false)).toMatchObject({ kind: 'end', state: 'cancelled' });
    expect(onHello({ ...owed, expired: true }, false, false)).toMatchObject({ kind: 'end', state: 'expired' });
  });
});
