import type { Clock } from '../clock.ts';
import type { AgentHealth, GroupHealth, HealthReader, HealthView } from './health-reader.ts';

export interface HealthUpdate {
  readonly snapshot: boolean;
  readonly complete: boolean;
  readonly fleet: GroupHealth;
  readonly groups: readonly GroupHealth[];
  readonly agents: readonly AgentHealth[];
  readonly removedAgents: readonly string[];
  /** "label=value" */
  readonly removedGroups: readonly string[];
}

export interface HealthWatchDeps {
  readonly reader: Pick<HealthReader, 'view' | 'selected'>;
  readonly clock: Pick<Clock, 'sleep' | 'nowMs'>;
  onFailure(error: unknown): void;
}

/** How often it is looked whether something has changed, for all watchers together. */
const LOOK_MS = 1_000;
/** Agents of one message. */
const CHUNK = 500;

export interface HealthWatch {
  /** First everything, then what changes. Ends with the signal. @throws OpenlineError TARGETS_INVALID */
  watch(targets: string, signal: AbortSignal): AsyncIterable<HealthUpdate>;
}

/** Watchers share one look a second; while there is none, nothing is looked at. */
export function createHealthWatch({ reader, clock, onFailure }: HealthWatchDeps): HealthWatch {
  let latest: { readonly atMs: number; readonly view: Promise<HealthView> } | undefined;

  function look(): Promise<HealthView> {
    if (latest === undefined || clock.nowMs() - latest.atMs >= LOOK_MS)
      latest = { atMs: clock.nowMs(), view: reader.view() };
    return latest.view;
  }

  return {
    async *watch(targets, signal) {
      let before = new Map<string, string>();
      let beforeGroups = new Map<string, string>();
      let beforeFleet = '';
      let first = true;
      // Once, so that a wrong expression is told of.
      await reader.selected(targets);
      while (!signal.aborted) {
        try {
          const [view, selected] = await Promise.all([look(), reader.selected(targets)]);
          const agents = view.agents.filter(({ id }) => selected === undefined || selected.has(id));
          const now = new Map(agents.map((agent) => [agent.id, JSON.stringify(agent)]));
          const nowGroups = new Map(view.groups.map((group) => [keyOf(group), JSON.stringify(group)]));
          const fleet = JSON.stringify(view.fleet);
          const update = {
            fleet: view.fleet,
            groups: view.groups.filter((group) => beforeGroups.get(keyOf(group)) !== nowGroups.get(keyOf(group))),
            agents: agents.filter(({ id }) => before.get(id) !== now.get(id)),
            removedAgents: [...before.keys()].filter((id) => !now.has(id)),
            removedGroups: [...beforeGroups.keys()].filter((key) => !nowGroups.has(key)),
          };
          const changed = update.groups.length + update.agents.length + update.removedAgents.length > 0;
          if (first || changed || update.removedGroups.length > 0 || fleet !== beforeFleet)
            yield* inChunks(update, first);
          [before, beforeGroups, beforeFleet, first] = [now, nowGroups, fleet, false];
        } catch (error) {
          // What was said last goes on holding while the database does not answer.
          onFailure(error);
        }
        await clock.sleep(LOOK_MS, signal);
      }
    },
  };
}

function* inChunks(update: Omit<HealthUpdate, 'snapshot' | 'complete'>, snapshot: boolean): Generator<HealthUpdate> {
  const { agents, ...rest } = update;
  for (let at = 0; at === 0 || at < agents.length; at += CHUNK) {
    const complete = at + CHUNK >= agents.length;
    const shown = complete ? rest : { ...rest, groups: [], removedAgents: [], removedGroups: [] };
    yield { ...shown, agents: agents.slice(at, at + CHUNK), snapshot, complete };
  }
}

function keyOf({ label, value }: GroupHealth): string {
  return `${label}=${value}`;
}
