import type { Engine, EngineState, Outcome, ProbeResult } from '@openline/packs/engine';
import type { EventSink, Position } from '../events/source.ts';
import type { EventSpool } from '../spool/event-spool.ts';
import type { Clock, EngineLog, Timer } from '../tasks/clock.ts';
import { createGatherer } from './gatherer.ts';
import { createIntake, type IntakeConfig } from './intake.ts';
import type { GapSpan } from './records.ts';
import type { RulesObserver } from './rules.ts';

/** What an engine is asked for here: the real one, or one for a test. */
export type RuleEngine = Pick<
  Engine,
  'event' | 'sample' | 'tick' | 'dueAtUnixMs' | 'reset' | 'state' | 'changes' | 'health'
>;

/**
 * Drives the rules: events, samples and time go in, what comes out becomes records, and records, positions and state become durable together
 * in the spool. The only place that knows of all three.
 */
export interface RuleRuntime {
  sinkFor(log: string): EventSink;
  position(log: string): Position | undefined;
  /** Nobody reads that log any more: it begins anew if somebody should. */
  forget(log: string): void;
  /** The state to make the next engine with. */
  engineState(): EngineState;
  /** From now on this one; its state replaces that of the one before. */
  use(engine: RuleEngine | undefined): void;
  sample(pack: string, monitor: string, result: ProbeResult): void;
  reset(pack: string, monitor: string, instance: string): void;
  /** Kept over a restart, with everything else. */
  note(key: string, value: unknown): void;
  noted(key: string): unknown;
  /** Resolves when a synthetic event went through the queue, an engine and the spool, to the disk. */
  prove(synthetic: () => void): Promise<void>;
  /** What does not work; empty when all does. */
  fault(): string;
  /** Takes what is in hand to the spool. */
  stop(): Promise<void>;
}

export interface RuntimeDeps {
  readonly clock: Clock;
  readonly log: EngineLog;
  readonly spool: Pick<EventSpool, 'commit' | 'restored' | 'fault'>;
  /** New records are on disk. */
  readonly committed: () => void;
  readonly observe?: Pick<RulesObserver, 'concluded' | 'missed'> | undefined;
}

/** Positions and state without a record are written this often, and not synced: what follows from them can be concluded again. */
const IDLE_COMMIT_MS = 1_000;
/** Between two commits, when records come all the time: more of them share a sync. One that comes alone does not wait. */
const BUSY_COMMIT_MS = 20;
/** Records that were not written; beyond it nothing more is taken. */
const MAX_READY = 2_000;
const LEAST_WAIT_MS = 5;
/** While something is due some time, the engine is asked at least so often: what it awaits is sooner by a wall clock that was set back. */
const LONGEST_WAIT_MS = 30_000;

const ENGINE = 'engine/';
const POSITION = 'position/';
const NOTE = 'note/';

export function createRuleRuntime(deps: RuntimeDeps, config: IntakeConfig): RuleRuntime {
  const { clock, log, spool } = deps;
  const restored = spool.restored();
  const gatherer = createGatherer(restored.state);
  const faults = new Map<string, string>();
  const positions = new Map<string, Position>();
  const notes = new Map<string, unknown>();
  /** Of the engine, by name: what the spool has of it. */
  const inSpool = new Set<string>();
  let savedState: Record<string, unknown> = {};
  let engine: RuleEngine | undefined;
  let engineFault = '';

  for (const [key, value] of Object.entries(restored.state)) {
    if (key.startsWith(ENGINE)) {
      savedState[key.slice(ENGINE.length)] = value;
      inSpool.add(key);
    } else if (key.startsWith(POSITION) && typeof value === 'string') positions.set(key.slice(POSITION.length), value);
    else if (key.startsWith(NOTE)) notes.set(key.slice(NOTE.length), value);
  }
  if (restored.lost > 0) gap({ log: 'spool', reason: 'the spool was damaged', events: restored.lost, ...nowSpan() });

  /** To be written with the next commit, besides what engine and gatherer say. */
  let set: Record<string, unknown> = {};
  let removed = new Set<string>();
  let dirty = gatherer.readyRecords() > 0;
  let midBatch = false;
  let committing: Promise<void> | undefined;
  let lastCommitMs = Number.NEGATIVE_INFINITY;
  let tickedMs = clock.nowMs();
  const waiters: (() => void)[] = [];
  /** Proofs that the next commit completes. */
  let proofs: (() => void)[] = [];
  let timer: (Timer & { readonly atMs: number }) | undefined;
  let looking = false;
  let stopped = false;

  const intake = createIntake(
    clock,
    {
      room: () => (hasRoom() ? Promise.resolve() : new Promise((resolve) => waiters.push(resolve))),
      batchBegins() {
        midBatch = true;
      },
      event: (event) => ask((it) => it.event(event, clock.unixMs())),
      gap,
      batchEnds(name, position) {
        midBatch = false;
        if (position !== undefined) keepPosition(name, position);
        look();
      },
      sourceFault(name, what) {
        if (what === '') faults.delete(name);
        else faults.set(name, what);
        if (what === '') log.info({ log: name }, 'the log can be read again');
        else log.warn({ log: name, why: what }, 'a log cannot be read');
      },
    },
    config,
  );

  /** A disk that refuses, or that is slower than the events: the sources wait. */
  function hasRoom(): boolean {
    return stopped || (gatherer.readyRecords() < MAX_READY && spool.fault() === '');
  }

  function keepPosition(name: string, position: Position): void {
    positions.set(name, position);
    set[`${POSITION}${name}`] = position;
    removed.delete(`${POSITION}${name}`);
    dirty = true;
  }

  function gap(span: GapSpan): void {
    deps.observe?.missed(span.events);
    gatherer.gap(span, clock.nowMs());
    dirty = true;
  }

  /** The engine never throws; if it does, one event is not worth an agent. */
  function ask(question: (engine: RuleEngine) => readonly Outcome[]): void {
    if (engine === undefined) return;
    dirty = true;
    try {
      const outcomes = question(engine);
      if (outcomes.length === 0) return;
      const nowMs = clock.nowMs();
      for (const outcome of outcomes) {
        deps.observe?.concluded(outcome.kind);
        gatherer.add(outcome, nowMs);
      }
    } catch (error) {
      if (engineFault === '') log.error({ error }, 'the rule engine failed on an event');
      engineFault = `rule engine: ${error instanceof Error ? error.message : String(error)}`;
    }
  }

  /** Soon, and once for everything of this turn. */
  function look(): void {
    if (looking || stopped) return;
    looking = true;
    queueMicrotask(() => {
      looking = false;
      onTime();
    });
  }

  function onTime(): void {
    if (stopped) return;
    const due = engine?.dueAtUnixMs();
    if (due !== undefined && (due <= clock.unixMs() || clock.nowMs() - tickedMs >= LONGEST_WAIT_MS)) {
      tickedMs = clock.nowMs();
      ask((it) => it.tick(clock.unixMs()));
    }
    gatherer.close(clock.nowMs());
    commitWhenDue();
    arm();
  }

  function commitWhenDue(): void {
    if (committing !== undefined || midBatch) return;
    if (clock.nowMs() < nextCommitMs()) return;
    committing = commit().finally(() => {
      committing = undefined;
      look();
    });
  }

  function nextCommitMs(): number {
    if (gatherer.readyRecords() > 0 || proofs.length > 0) return lastCommitMs + BUSY_COMMIT_MS;
    return dirty ? lastCommitMs + IDLE_COMMIT_MS : Number.POSITIVE_INFINITY;
  }

  async function commit(): Promise<void> {
    dirty = false;
    lastCommitMs = clock.nowMs();
    const { records, change } = gatherer.take(clock.unixMs());
    const state = engine?.changes() ?? { set: {}, removed: [] };
    const all: Record<string, unknown> = { ...set, ...change.set };
    for (const [key, value] of Object.entries(state.set)) {
      all[`${ENGINE}${key}`] = value;
      inSpool.add(`${ENGINE}${key}`);
      removed.delete(`${ENGINE}${key}`);
    }
    for (const key of state.removed) {
      delete all[`${ENGINE}${key}`];
      if (inSpool.delete(`${ENGINE}${key}`)) removed.add(`${ENGINE}${key}`);
    }
    const gone = [...removed, ...change.removed];
    set = {};
    removed = new Set();
    const done = proofs;
    proofs = [];
    if (records.length === 0 && done.length === 0 && gone.length === 0 && Object.keys(all).length === 0) return;
    await spool.commit({ records, change: { set: all, removed: gone } }, done.length > 0);
    for (const resolve of done) resolve();
    if (records.length > 0) deps.committed();
    for (const resolve of hasRoom() ? waiters.splice(0) : []) resolve();
  }

  /** One timer for all that time brings. */
  function arm(): void {
    if (stopped) return;
    const nowMs = clock.nowMs();
    const dueUnixMs = engine?.dueAtUnixMs();
    let waitMs = LONGEST_WAIT_MS;
    if (dueUnixMs !== undefined) waitMs = Math.min(waitMs, Math.max(LEAST_WAIT_MS, dueUnixMs - clock.unixMs()));
    waitMs = Math.min(waitMs, (gatherer.dueAtMs() ?? Number.POSITIVE_INFINITY) - nowMs);
    if (committing === undefined && !midBatch) waitMs = Math.min(waitMs, nextCommitMs() - nowMs);
    if (waitMs === LONGEST_WAIT_MS && dueUnixMs === undefined) return;
    const atMs = nowMs + Math.max(LEAST_WAIT_MS, waitMs);
    if (timer !== undefined && timer.atMs <= atMs) return;
    timer?.cancel();
    const armed = clock.after(atMs - nowMs, () => {
      timer = undefined;
      onTime();
    });
    timer = { atMs, cancel: () => armed.cancel() };
  }

  function nowSpan(): { fromUnixMs: number; toUnixMs: number } {
    return { fromUnixMs: clock.unixMs(), toUnixMs: clock.unixMs() };
  }

  if (dirty) look();

  return {
    sinkFor: intake.sinkFor,
    position: (name) => positions.get(name),
    forget(name) {
      if (!positions.delete(name)) return;
      delete set[`${POSITION}${name}`];
      removed.add(`${POSITION}${name}`);
      faults.delete(name);
      dirty = true;
      look();
    },
    engineState: () => engine?.state() ?? savedState,
    use(next) {
      engine = next;
      engineFault = '';
      savedState = {};
      const state = next?.state() ?? {};
      for (const key of inSpool) removed.add(key);
      inSpool.clear();
      for (const [key, value] of Object.entries(state)) {
        set[`${ENGINE}${key}`] = value;
        removed.delete(`${ENGINE}${key}`);
        inSpool.add(`${ENGINE}${key}`);
      }
      // What was known and is watched no longer is told.
      ask((it) => it.tick(clock.unixMs()));
      look();
    },
    sample(pack, monitor, result) {
      ask((it) => it.sample(pack, monitor, result, clock.unixMs()));
      look();
    },
    reset(pack, monitor, instance) {
      ask((it) => it.reset(pack, monitor, instance, clock.unixMs()));
      look();
    },
    note(key, value) {
      notes.set(key, value);
      set[`${NOTE}${key}`] = value;
      dirty = true;
      look();
    },
    noted: (key) => notes.get(key),
    async prove(synthetic) {
      await intake.proof();
      synthetic();
      await new Promise<void>((resolve) => {
        proofs.push(resolve);
        look();
      });
    },
    fault: () => [engineFault, spool.fault(), ...sourceFaults(faults)].filter((what) => what !== '').join('; '),
    async stop() {
      if (stopped) return;
      stopped = true;
      timer?.cancel();
      for (const resolve of waiters.splice(0)) resolve();
      await intake.stop();
      await committing;
      if (dirty || gatherer.readyRecords() > 0) await commit();
    },
  };
}

function sourceFaults(faults: ReadonlyMap<string, string>): string[] {
  return [...faults].map(([log, what]) => `${log}: ${what}`);
}
