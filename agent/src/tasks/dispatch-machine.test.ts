import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Action, accepting, type Dispatch, type Input, step } from './dispatch-machine.ts';

const stop: Input = { kind: 'stop', stop: { end: 'cancelled', code: 'TASK_CANCELLED', reason: 'by ann' } };
const exited: Input = { kind: 'exited', ending: { end: 'succeeded', code: '', reason: '', exitCode: 0 } };

const inputs: fc.Arbitrary<Input> = fc.oneof(
  fc.constant<Input>({ kind: 'accepted', waitsFor: 'slot' }),
  fc.constant<Input>({ kind: 'accepted', waitsFor: 'pack' }),
  fc.constant<Input>({ kind: 'journalFailed', reason: 'no space' }),
  fc.constant<Input>({ kind: 'packReady' }),
  fc.constant<Input>({ kind: 'refused', code: 'PACK_NOT_HELD', reason: 'gone' }),
  fc.constant<Input>({ kind: 'slot' }),
  fc.constant<Input>({ kind: 'startJournalled' }),
  fc.constant<Input>(stop),
  fc.constant<Input>(exited),
  fc.constant<Input>({ kind: 'committed' }),
);

function play(start: Dispatch, all: readonly Input[]): { states: Dispatch[]; actions: Action[] } {
  const states = [start];
  const actions: Action[] = [];
  let now = start;
  for (const input of all) {
    const [next, more] = step(now, input);
    now = next;
    states.push(next);
    actions.push(...more);
  }
  return { states, actions };
}

const count = (actions: readonly Action[], wanted: Action) => actions.filter((action) => action === wanted).length;

describe('a dispatch, whatever happens in whatever order', () => {
  const anyLife = fc.property(fc.boolean(), fc.array(inputs, { maxLength: 30 }), (holdsSlot, all) => {
    const { states, actions } = play(accepting(holdsSlot), all);
    expect(count(actions, 'launch')).toBeLessThanOrEqual(1);
    expect(count(actions, 'journalStart')).toBeLessThanOrEqual(1);
    expect(count(actions, 'finish')).toBeLessThanOrEqual(1);
    expect(count(actions, 'forget')).toBeLessThanOrEqual(1);
    // Nothing starts that was not journalled as started before, and nothing starts or is killed once it ended.
    const launch = actions.indexOf('launch');
    if (launch >= 0 && !holdsSlot) expect(actions.indexOf('journalStart')).toBeLessThan(launch);
    const finish = actions.indexOf('finish');
    if (finish >= 0) expect(actions.slice(finish + 1).filter((action) => action !== 'forget')).toEqual([]);
    // Terminal states stay, and the first ending is the ending.
    const firstEnd = states.findIndex((state) => state.kind === 'ended');
    if (firstEnd >= 0) {
      for (const state of states.slice(firstEnd)) {
        expect(['ended', 'committed']).toContain(state.kind);
        if (state.kind === 'ended') expect(state).toEqual(states[firstEnd]);
      }
      expect(count(actions, 'finish')).toBe(1);
    }
  });

  it('starts at most once, ends exactly once, and stays ended', () => {
    fc.assert(anyLife, { numRuns: 2_000 });
  });

  it('never starts once it was stopped', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(inputs, { maxLength: 10 }), fc.array(inputs), (holdsSlot, before, after) => {
        const first = play(accepting(holdsSlot), before);
        const stopped = play(first.states.at(-1) ?? accepting(holdsSlot), [stop, ...after]);
        expect(stopped.actions).not.toContain('launch');
      }),
      { numRuns: 2_000 },
    );
  });

  it('ends when it is stopped and everything under way has come back', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(inputs, { maxLength: 20 }), (holdsSlot, all) => {
        const finale: Input[] = [
          stop,
          { kind: 'accepted', waitsFor: 'slot' },
          stop,
          { kind: 'startJournalled' },
          exited,
        ];
        const { actions } = play(accepting(holdsSlot), [...all, ...finale]);
        expect(count(actions, 'finish')).toBe(1);
      }),
    );
  });
});

describe('a dispatch that is stopped', () => {
  it('before its acceptance is on disk says accepted, then cancelled, and never starts', () => {
    const { states, actions } = play(accepting(true), [stop, { kind: 'accepted', waitsFor: 'slot' }]);
    expect(actions).toEqual(['sayAccepted', 'finish']);
    expect(states.at(-1)).toMatchObject({ kind: 'ended', ending: { end: 'cancelled' } });
  });

  it('while it runs ends as the stop says, even when the process then exits with 0', () => {
    const { states, actions } = play(accepting(true), [{ kind: 'accepted', waitsFor: 'slot' }, stop, exited]);
    expect(actions).toEqual(['sayAccepted', 'launch', 'kill', 'finish']);
    expect(states.at(-1)).toMatchObject({ kind: 'ended', ending: { end: 'cancelled', exitCode: 0 } });
  });
});
