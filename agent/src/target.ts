import { effectiveLabels, type Properties } from '@openline/proto/properties';

/** It puts properties of its own into parameters that name one. */
export const PARAMETERS_FROM_CAPABILITY = 'parameters-from';

/** What this agent is, as selectors at the server see it. */
export interface Target {
  current(): Properties;
  /** The server said what it calls it, and what it holds of it. */
  welcomed(name: string, pinnedLabels: Readonly<Record<string, string>>): void;
  pinned(labels: Readonly<Record<string, string>>): void;
}

/** @param said in each Hello */
export function createTarget(said: Properties): Target {
  let now = said;
  return {
    current: () => now,
    welcomed(name, pinnedLabels) {
      now = { name, labels: effectiveLabels(said.labels, pinnedLabels), facts: said.facts };
    },
    pinned(labels) {
      now = { ...now, labels: effectiveLabels(said.labels, labels) };
    },
  };
}
