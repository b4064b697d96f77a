import { DispatchState } from '@openline/proto/operator';
import { describe, expect, it } from 'vitest';
import type { Screen } from '../io.ts';
import { widthOf } from '../render/text.ts';
import { dispatchMessage, T0_MS, watchMessage } from '../testing/messages.ts';
import { applyWatch, type RunModel } from './model.ts';
import { renderFinal, renderLive, summaryLine } from './render-live.ts';

const {
  DISPATCH_STATE_FAILED,
  DISPATCH_STATE_LOST,
  DISPATCH_STATE_QUEUED,
  DISPATCH_STATE_RUNNING,
  DISPATCH_STATE_SUCCEEDED,
} = DispatchState;
const screen: Screen = { isTTY: true, columns: 100, rows: 24, color: false };

function modelOf(...dispatches: ReturnType<typeof dispatchMessage>[]): RunModel {
  const applied = applyWatch(undefined, watchMessage(dispatches));
  if (applied === undefined) throw new Error('no run');
  return applied.model;
}

const fleet = (count: number, failedAt: number) =>
  modelOf(
    ...Array.from({ length: count }, (_, index) =>
      dispatchMessage(
        `node-${String(index).padStart(5, '0')}`,
        index === failedAt ? DISPATCH_STATE_FAILED : index % 2 === 0 ? DISPATCH_STATE_SUCCEEDED : DISPATCH_STATE_QUEUED,
      ),
    ),
  );

describe('the live table', () => {
  it('shows every target with its state, how long it has run, and its progress', () => {
    const model = modelOf(
      dispatchMessage('web-1', DISPATCH_STATE_SUCCEEDED),
      dispatchMessage('web-2', DISPATCH_STATE_RUNNING, { progressPercent: 40, progressNote: 'copying' }),
    );
    expect(renderLive(model, screen, T0_MS + 3_010)).toEqual([
      'linux/uptime on 2 targets   run run-1',
      'AGENT   STATE       DURATION   EXIT   NOTE',
      'web-1   succeeded   1.2s       0      -',
      'web-2   running     3.0s       -      40% copying',
      '██████████░░░░░░░░░░  1/2   1 succeeded, 1 running   3.0s',
    ]);
  });

  it('is never higher than the terminal, and shows of 2,000 targets first the one that failed', () => {
    const lines = renderLive(fleet(2_000, 1_234), screen, T0_MS + 1_000);
    expect(lines.length).toBeLessThan(screen.rows);
    expect(lines[2]).toMatch(/^node-01234 +failed/);
    expect(lines.at(-2)).toBe('… and 1,981 more');
    expect(lines.at(-1)).toMatch(/^█+░+ {2}1,000\/2,000 {3}999 succeeded, 1 failed, 1,000 queued/);
  });

  it('is never wider than the terminal, also with wide characters and colours', () => {
    const model = modelOf(
      dispatchMessage('ウェブサーバー一号機', DISPATCH_STATE_FAILED, {
        reasonCode: 'TASK_EXIT_CODE',
        reason: '終了コード三で失敗しました'.repeat(10),
      }),
    );
    for (const columns of [30, 40, 57, 80]) {
      for (const line of renderLive(model, { ...screen, columns }, T0_MS))
        expect(widthOf(line)).toBeLessThanOrEqual(columns);
    }
    const coloured = renderLive(model, { ...screen, columns: 60, color: true }, T0_MS);
    expect(coloured.join('')).toContain('\x1b[31mfailed');
    for (const line of coloured) expect(widthOf(line)).toBeLessThanOrEqual(60);
  });

  it('shows only the progress on a terminal of four rows', () => {
    expect(renderLive(fleet(3, 0), { ...screen, rows: 4 }, T0_MS)).toHaveLength(1);
  });

  it('lets no agent steer the terminal by what it reports', () => {
    const model = modelOf(
      dispatchMessage('web-1', DISPATCH_STATE_RUNNING, { progressNote: '\x1b[2J\x1b]0;owned\x07' }),
    );
    expect(renderLive(model, screen, T0_MS).join('\n')).not.toContain('\x1b');
  });
});

describe('the table at the end', () => {
  it('names every target for a pipe, and on a terminal every one that did not succeed', () => {
    const model = fleet(200, 7);
    expect(renderFinal(model, { ...screen, isTTY: false, columns: Number.POSITIVE_INFINITY }, T0_MS)).toHaveLength(201);
    const lines = renderFinal(model, screen, T0_MS);
    expect(lines.filter((line) => line.includes('failed'))).toHaveLength(1);
    expect(lines.slice(-2)).toEqual(['… and 100 that succeeded; to list them:', '  openline runs show run-1 | cat']);
  });
});

describe('what tasks saw', () => {
  const seen = (name: string, view: string) => ({ ...dispatchMessage(name, DISPATCH_STATE_SUCCEEDED), view });

  it('is not worth a column where it was the machine', () => {
    expect(renderFinal(modelOf(seen('vm', 'machine'), seen('old', '')), screen, T0_MS)[0]).not.toContain('SAW');
  });

  it('is told of all as soon as it was something else of one', () => {
    const lines = renderFinal(modelOf(seen('node', 'host-read'), seen('vm', 'machine')), screen, T0_MS);
    expect(lines[0]).toMatch(/EXIT +SAW/);
    expect(lines.slice(1).map((line) => line.trimEnd().split(/ +/).at(-2))).toEqual(['host-read', 'machine']);
  });
});

describe('what agents put in themselves', () => {
  const rows = [
    dispatchMessage('lyon', DISPATCH_STATE_SUCCEEDED, { parametersFrom: { path: '/srv', size: '7' } }),
    dispatchMessage('older', DISPATCH_STATE_SUCCEEDED),
    dispatchMessage('waits', DISPATCH_STATE_QUEUED, { startedUnixMs: 0n }),
  ];
  const model = modelOf(...rows);

  it('is no column of a run that asks for nothing', () => {
    expect(renderFinal(model, screen, T0_MS)[0]).not.toContain('PUT IN');
  });

  it('is shown of each target, and said to be missing where one has started and does not report it', () => {
    const parametersFrom = { path: 'label:data-dir', size: 'label:size' };
    const lines = renderFinal({ ...model, run: { ...model.run, parametersFrom } }, screen, T0_MS);
    expect(lines[0]).toMatch(/EXIT +PUT IN +NOTE/);
    expect(lines[1]).toContain('path=/srv, size=7');
    expect(lines[2]).toContain('not reported by this agent');
    expect(lines[3]).not.toContain('not reported');
  });
});

describe('the summary', () => {
  it('fits into 80 columns for a usual task that ended in three ways', () => {
    const states = [DISPATCH_STATE_SUCCEEDED, DISPATCH_STATE_FAILED, DISPATCH_STATE_LOST];
    const model = modelOf(...states.map((state, index) => dispatchMessage(`web-${index}`, state)));
    const line = summaryLine({ ...model, run: { ...model.run, task: 'linux/certificate-expiry' } }, screen, T0_MS);
    expect(line).toBe('linux/certificate-expiry on 3 targets: 1 succeeded, 1 failed, 1 lost in 1.5s');
    expect(widthOf(line)).toBeLessThanOrEqual(80);
  });
});

describe('what the server says again after a reconnect', () => {
  it('is no change', () => {
    const message = watchMessage([
      dispatchMessage('web-1', DISPATCH_STATE_RUNNING),
      dispatchMessage('web-2', DISPATCH_STATE_QUEUED),
    ]);
    const first = applyWatch(undefined, message);
    expect(first?.changed.map((each) => each.agent)).toEqual(['web-1', 'web-2']);
    expect(applyWatch(first?.model, message)?.changed).toEqual([]);
    const later = applyWatch(first?.model, watchMessage([dispatchMessage('web-2', DISPATCH_STATE_RUNNING)]));
    expect(later?.changed.map((each) => [each.agent, each.state])).toEqual([['web-2', 'running']]);
  });
});
