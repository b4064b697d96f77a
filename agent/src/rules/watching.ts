import { isDeepStrictEqual } from 'node:util';
import type { Severity } from '@openline/packs';
import type { About, WatchOverride } from '@openline/packs/engine';
import { AlertSeverity, type Policy } from '@openline/proto/agent';
import { effectiveLabels } from '@openline/proto/properties';
import type { ProbeScheduler } from '../monitors/scheduler.ts';
import type { PackLibrary } from '../packs/library.ts';
import type { EngineLog } from '../tasks/clock.ts';
import type { Readers } from './readers.ts';
import type { RulesObserver } from './rules.ts';
import type { RuleRuntime } from './runtime.ts';

/** Keeps the engine as the held packs and the server's overrides want it. */
export interface Watching {
  /** Complete each time; kept over a restart. */
  policy(policy: Policy): void;
  /** The labels that the server holds of this agent, which go before its own. All of them each time; kept over a restart. */
  pinned(labels: Readonly<Record<string, string>>): void;
  /** Resolves when all that was asked so far holds. */
  settled(): Promise<void>;
}

export interface WatchingDeps {
  readonly log: EngineLog;
  readonly packs: Pick<PackLibrary, 'newest' | 'onChange'>;
  readonly runtime: Pick<RuleRuntime, 'engineState' | 'use' | 'note' | 'noted'>;
  readonly readers: Pick<Readers, 'want'>;
  readonly probes: Pick<ProbeScheduler, 'plan'>;
  /** Not loaded before some pack has a rule or a monitor: it is much of an agent's memory. */
  readonly loadEngine: () => Promise<typeof import('@openline/packs/engine')>;
  readonly holds?: RulesObserver['holds'] | undefined;
}

const OVERRIDES = 'overrides';
const PINNED = 'pinned labels';

/** @param said what the agent says of itself */
export function startWatching(deps: WatchingDeps, said: About): Watching {
  const { log, runtime } = deps;
  let turn: Promise<void> = Promise.resolve();
  let overrides = readNote(runtime.noted(OVERRIDES));
  let pinned = readPinned(runtime.noted(PINNED));
  let holding = false;
  /** Until then packs that are held look as if they were not. */
  let packsKnown = false;

  function refresh(): Promise<void> {
    turn = turn
      .then(hold)
      .catch((error: unknown) => log.error({ error }, 'the rules and monitors of the packs could not be taken up'));
    return turn;
  }

  async function hold(): Promise<void> {
    if (!packsKnown) return;
    const packs = deps.packs.newest().filter(({ rules, monitors }) => rules.size + monitors.size > 0);
    // Also for what was watched by an earlier process, and is no more: it has to be told.
    if (packs.length === 0 && !holding && Object.keys(runtime.engineState()).length === 0) return;
    const { compileWatches, createEngine } = await deps.loadEngine();
    const about = { ...said, labels: effectiveLabels(said.labels, pinned) };
    const watches = compileWatches(packs, about, overrides);
    // From here to `use` nothing waits, so that no event falls between the two engines.
    const engine = createEngine(watches, runtime.engineState());
    runtime.use(engine);
    holding = true;
    const plans = engine.plans();
    const held = watches.statuses.filter(({ holds }) => holds);
    const rules = held.filter(({ kind }) => kind === 'rule').length;
    deps.holds?.(rules, held.length - rules);
    log.info({ packs: packs.length, watches: held.length, probes: plans.length, logs: watches.logs }, 'watches');
    if (watches.problems.length > 0) log.warn({ problems: watches.problems }, 'some overrides make no sense here');
    deps.probes.plan(plans);
    await deps.readers.want(watches.logs);
  }

  deps.packs.onChange(() => {
    packsKnown = true;
    return refresh();
  });
  return {
    policy(policy) {
      const next = policy.overrides.map(readOverride);
      if (JSON.stringify(next) === JSON.stringify(overrides)) return;
      overrides = next;
      runtime.note(OVERRIDES, next);
      void refresh();
    },
    pinned(labels) {
      if (isDeepStrictEqual(labels, pinned)) return;
      pinned = { ...labels };
      runtime.note(PINNED, pinned);
      void refresh();
    },
    settled: () => turn,
  };
}

const SEVERITIES = new Map<AlertSeverity, Severity>([
  [AlertSeverity.ALERT_SEVERITY_INFORMATION, 'information'],
  [AlertSeverity.ALERT_SEVERITY_WARNING, 'warning'],
  [AlertSeverity.ALERT_SEVERITY_CRITICAL, 'critical'],
]);

function readOverride({
  packName,
  watchName,
  enabled,
  severity,
  settingsJson,
}: Policy['overrides'][number]): WatchOverride {
  const settings = objectOf(settingsJson);
  return { pack: packName, watch: watchName, enabled, severity: SEVERITIES.get(severity), settings };
}

/** What an earlier process noted: its own `readOverride`s. */
function readNote(note: unknown): WatchOverride[] {
  if (!Array.isArray(note)) return [];
  return note.flatMap((one: Partial<WatchOverride>) => {
    const { pack, watch, enabled, severity, settings = {} } = one;
    return typeof pack === 'string' && typeof watch === 'string' ? [{ pack, watch, enabled, severity, settings }] : [];
  });
}

function readPinned(note: unknown): Readonly<Record<string, string>> {
  const entries = Object.entries(typeof note === 'object' && note !== null ? note : {});
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}

/** A JSON object, or nothing: the engine says which settings make no sense. */
function objectOf(json: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(json || '{}');
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {};
  } catch {
    return {};
  }
}
