import { createColors } from 'picocolors';
import type { DispatchView, RunView, StateView } from '../views/run.ts';
import { formatCount } from './text.ts';

export type Paint = (text: string) => string;

/** Red: look at it. Yellow: it did not run or was stopped. */
export function statePaint(state: StateView, color: boolean): Paint {
  const paint = createColors(color);
  switch (state) {
    case 'succeeded':
      return paint.green;
    case 'failed':
    case 'timed_out':
    case 'lost':
      return paint.red;
    case 'cancelled':
    case 'expired':
    case 'rejected':
      return paint.yellow;
    case 'running':
      return paint.cyan;
    case 'queued':
    case 'sent':
    case 'accepted':
    case 'unknown':
      return paint.dim;
    default:
      return state satisfies never;
  }
}

/** States in the order in which people want to read of them. */
const ORDER: readonly StateView[] = [
  'succeeded',
  'failed',
  'timed_out',
  'lost',
  'rejected',
  'expired',
  'cancelled',
  'running',
  'accepted',
  'sent',
  'queued',
  'unknown',
];

/** "3 succeeded, 1 failed" */
export function countsText(counts: RunView['counts'], color = false, separator = ', '): string {
  const parts = ORDER.flatMap((state) => {
    const count = counts[state] ?? 0;
    return count === 0 ? [] : [statePaint(state, color)(`${formatCount(count)} ${words(state)}`)];
  });
  return parts.join(separator);
}

export function words(state: StateView): string {
  return state.replace('_', ' ');
}

/** Exit status as a shell's user reads it. */
export function exitText(dispatch: DispatchView): string {
  if (dispatch.signal !== null) return dispatch.signal;
  return dispatch.exitCode === null ? '' : String(dispatch.exitCode);
}

/** What there is to say of it: the progress while it runs, the reason when it has ended. */
export function noteText(dispatch: DispatchView): string {
  if (dispatch.reasonCode !== null) {
    return dispatch.reason === null ? dispatch.reasonCode : `${dispatch.reasonCode}: ${dispatch.reason}`;
  }
  if (dispatch.reason !== null) return dispatch.reason;
  if (dispatch.endedAt !== null) return '';
  const percent = dispatch.progressPercent === null ? '' : `${dispatch.progressPercent}%`;
  const progress = [percent, dispatch.progressNote ?? ''].filter((part) => part !== '').join(' ');
  if (progress !== '') return progress;
  return dispatch.agentOnline || dispatch.state === 'running' ? '' : 'agent offline';
}
