import { countsText, exitText, noteText, words } from '../render/states.ts';
import { formatCount, printable } from '../render/text.ts';
import { formatDuration } from '../render/time.ts';
import { type DispatchView, isOpen } from '../views/run.ts';
import type { RunModel } from './model.ts';
import { doneCount } from './render-live.ts';

/** Up to so many targets each start and end is a line of its own; beyond that one line sums up, at most every so often. */
const NAMED_UP_TO = 20;
const SUMMARY_EVERY_MS = 2_000;

/** Progress for a log: what to write without a terminal. Time is a parameter. */
export interface ProgressLines {
  next(model: RunModel, changed: readonly DispatchView[], nowMs: number): string[];
}

export function createProgressLines(): ProgressLines {
  const said = new Map<string, string>();
  let nextSummaryMs = 0;
  let lastSummary = '';
  return {
    next(model, changed, nowMs) {
      if (model.run.targetCount <= NAMED_UP_TO) {
        return changed.flatMap((dispatch) => {
          const line = lineOf(dispatch);
          if (line === undefined || said.get(dispatch.agentId) === line) return [];
          said.set(dispatch.agentId, line);
          return [line];
        });
      }
      const summary = `${formatCount(doneCount(model))}/${formatCount(model.run.targetCount)} done: ${countsText(model.run.counts)}`;
      const due = nowMs >= nextSummaryMs || model.run.outcome !== 'open';
      if (!due || summary === lastSummary) return [];
      nextSummaryMs = nowMs + SUMMARY_EVERY_MS;
      lastSummary = summary;
      return [summary];
    },
  };
}

/** States that pass in a moment (sent, accepted) are not worth a line, and a log is no place for progress bars. */
function lineOf(dispatch: DispatchView): string | undefined {
  const name = printable(dispatch.agent);
  if (isOpen(dispatch.state)) {
    if (dispatch.state === 'running') return `${name}: running`;
    return dispatch.state === 'queued' ? `${name}: queued${dispatch.agentOnline ? '' : ' (offline)'}` : undefined;
  }
  const exit = exitText(dispatch);
  const parts = [
    words(dispatch.state),
    ...(dispatch.durationMs === null ? [] : [`after ${formatDuration(dispatch.durationMs)}`]),
    ...(exit === '' || exit === '0' ? [] : [`exit ${exit}`]),
    ...(dispatch.reasonCode === null ? [] : [printable(noteText(dispatch))]),
  ];
  return `${name}: ${parts.join(', ')}`;
}
