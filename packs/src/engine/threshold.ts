import type { NodeEvent } from '../monitoring.ts';
import type { CompiledRule } from './compiled.ts';
import { contextOf, fire } from './detection.ts';
import { keep, type Remembered, type Window } from './remembered.ts';
import type { RunningRule } from './rule.ts';
import type { Store } from './store.ts';
import { shortKey } from './texts.ts';
import type { Trouble } from './trouble.ts';

interface Threshold {
  readonly count: number;
  readonly withinMs: number;
}

/**
 * Takes a match in. Pure.
 * @returns the window that is left, and whether the threshold is reached, after which it counts anew
 */
export function observe(
  window: Window | undefined,
  event: NodeEvent,
  nowUnixMs: number,
  { count, withinMs }: Threshold,
): { readonly window: Window | undefined; readonly reached: readonly NodeEvent[] | undefined } {
  // What is from the future was raised, or read, before the clock was set back: it counts as of now, and so goes in time.
  const at = Math.min(event.atUnixMs, nowUnixMs);
  const before = (window?.times ?? []).map((time) => Math.min(time, nowUnixMs));
  const newest = Math.max(at, before.at(-1) ?? at);
  // One that was raised too long before the others is of no window that could still be reached.
  if (at <= newest - withinMs) return { window, reached: undefined };
  const times = insert(before, at).filter((time) => time > newest - withinMs);
  const earlier = window?.events ?? [];
  if (times.length >= count) return { window: undefined, reached: [...earlier, event].slice(-count) };
  const stillBehind = earlier.slice(Math.max(earlier.length - (times.length - 1), 0));
  const next: Window = { k: 'window', n: 0, seen: nowUnixMs, times, events: keep(stillBehind, event) };
  return { window: next, reached: undefined };
}

/** Events of one kind come nearly in order. */
function insert(times: readonly number[], at: number): number[] {
  let i = times.length;
  while (i > 0 && (times[i - 1] ?? 0) > at) i--;
  return times.toSpliced(i, 0, at);
}

export function runThreshold(
  rule: CompiledRule,
  threshold: Extract<CompiledRule['condition'], { kind: 'threshold' }>,
  store: Store,
  trouble: Trouble,
): Pick<RunningRule, 'matched' | 'tick' | 'dueAtUnixMs'> {
  const { withinMs, by } = threshold;
  const windows = store.shelf(rule.id, isWindow, trouble.evicted);
  return {
    matched(matcher, sighting, out) {
      const { event, nowUnixMs } = sighting;
      const context = contextOf(rule, matcher, sighting, rule.groups);
      const name = by === undefined ? '' : trouble.attempt(() => shortKey(by(context)));
      if (name === undefined) return;
      const { window, reached } = observe(windows.get(name), event, nowUnixMs, threshold);
      if (window === undefined) windows.delete(name);
      else windows.put(name, window);
      if (reached !== undefined) {
        fire(rule, trouble, context, { events: reached, eventCount: threshold.count }, nowUnixMs, out);
      }
    },
    // What can no longer come to anything is forgotten. The one that was touched last goes last.
    tick(nowUnixMs) {
      for (let oldest = windows.oldest(); oldest !== undefined; oldest = windows.oldest()) {
        const [name, { seen }] = oldest;
        if (seen + withinMs >= nowUnixMs) return;
        windows.delete(name);
      }
    },
    dueAtUnixMs() {
      const oldest = windows.oldest();
      return oldest === undefined ? undefined : oldest[1].seen + withinMs + 1;
    },
  };
}

function isWindow(entry: Remembered): entry is Window {
  return entry.k === 'window';
}
