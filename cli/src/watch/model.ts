import type { WatchRunResponse } from '@openline/proto/operator';
import { type DispatchView, dispatchView, type RunDocument, type RunView, runView } from '../views/run.ts';

/** What is known of a run while it is watched. */
export interface RunModel {
  readonly run: RunView;
  /** By agent id. */
  readonly dispatches: ReadonlyMap<string, DispatchView>;
}

/**
 * Takes in what the server said. After a reconnect the server says everything again; what is not new is not a change.
 * @returns the new model, and the dispatches that became different
 */
export function applyWatch(
  model: RunModel | undefined,
  message: WatchRunResponse,
): { model: RunModel; changed: DispatchView[] } | undefined {
  const run = message.run === undefined ? model?.run : runView(message.run);
  if (run === undefined) return undefined;
  // The map is handed on, not copied: 50,000 entries at each change would be the whole cost of watching.
  const dispatches = (model?.dispatches as Map<string, DispatchView> | undefined) ?? new Map<string, DispatchView>();
  const changed: DispatchView[] = [];
  for (const each of message.dispatches) {
    const next = dispatchView(each);
    const before = dispatches.get(next.agentId);
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(next)) continue;
    dispatches.set(next.agentId, next);
    changed.push(next);
  }
  return { model: { run, dispatches }, changed };
}

// node-2 before node-10.
const names = new Intl.Collator('en', { numeric: true });

export function byName(a: DispatchView, b: DispatchView): number {
  return names.compare(a.agent, b.agent);
}

export function documentOf(model: RunModel): RunDocument {
  return { ...model.run, dispatches: [...model.dispatches.values()].sort(byName) };
}
