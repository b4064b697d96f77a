import { DispatchState } from '@openline/proto/operator';
import { describe, expect, it } from 'vitest';
import { dispatchMessage, watchMessage } from '../testing/messages.ts';
import { applyWatch } from './model.ts';
import { createProgressLines } from './progress-lines.ts';

const { DISPATCH_STATE_FAILED, DISPATCH_STATE_RUNNING, DISPATCH_STATE_SENT } = DispatchState;

function stepper() {
  const progress = createProgressLines();
  let model: ReturnType<typeof applyWatch>;
  return (dispatches: ReturnType<typeof dispatchMessage>[], nowMs: number) => {
    model = applyWatch(model?.model, watchMessage(dispatches));
    return model === undefined ? [] : progress.next(model.model, model.changed, nowMs);
  };
}

describe('progress in a log', () => {
  it('says each start and end once, and nothing of states that pass in a moment', () => {
    const step = stepper();
    expect(step([dispatchMessage('web-1', DISPATCH_STATE_SENT)], 0)).toEqual([]);
    expect(step([dispatchMessage('web-1', DISPATCH_STATE_RUNNING)], 1)).toEqual(['web-1: running']);
    expect(step([dispatchMessage('web-1', DISPATCH_STATE_RUNNING)], 2)).toEqual([]);
    const failed = dispatchMessage('web-1', DISPATCH_STATE_FAILED, {
      exitCode: 3,
      reasonCode: 'TASK_EXIT_CODE',
      reason: 'exit code 3',
    });
    expect(step([failed], 3)).toEqual(['web-1: failed, after 1.2s, exit 3, TASK_EXIT_CODE: exit code 3']);
  });

  it('sums up more than twenty targets, at most every two seconds, and always at the end', () => {
    const step = stepper();
    const fleet = (ended: number) =>
      Array.from({ length: 30 }, (_, index) =>
        dispatchMessage(`n${index}`, index < ended ? DISPATCH_STATE_FAILED : DISPATCH_STATE_RUNNING),
      );
    expect(step(fleet(1), 0)).toEqual(['1/30 done: 1 failed, 29 running']);
    expect(step(fleet(2), 1_999)).toEqual([]);
    expect(step(fleet(3), 2_000)).toEqual(['3/30 done: 3 failed, 27 running']);
    expect(step(fleet(30), 2_001)).toEqual(['30/30 done: 30 failed']);
  });
});
