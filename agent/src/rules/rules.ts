import { join } from 'node:path';
import type { Interpreter } from '@openline/packs';
import type { Engine, Outcome } from '@openline/packs/engine';
import type { EventAck, EventBatch, Heartbeat, Policy, ResetMonitor } from '@openline/proto/agent';
import type { EventSource } from '../events/source.ts';
import type { View } from '../host/view.ts';
import { createJitSwitch } from '../jit.ts';
import { runProbe } from '../monitors/run-probe.ts';
import { createProbeScheduler } from '../monitors/scheduler.ts';
import type { PackLibrary } from '../packs/library.ts';
import { openEventSpool } from '../spool/event-spool.ts';
import { createEventSender } from '../spool/sender.ts';
import { diskSpoolFs, type SpoolFs } from '../spool/spool-fs.ts';
import type { Clock, EngineLog } from '../tasks/clock.ts';
import { orphanedGroups, signalGroup } from '../tasks/process/groups.ts';
import { checkEngine, startSelfCheck } from './check.ts';
import { createReaders } from './readers.ts';
import { createRuleRuntime } from './runtime.ts';
import { startWatching } from './watching.ts';

/** What Hello offers, and Welcome takes up: EventBatch up, EventAck, Policy and ResetMonitor down. */
export const EVENTS_CAPABILITY = 'events';

/** Rules and monitors at work on this machine: logs and probes in, records for the server out. */
export interface Rules {
  sessionOpened(capabilities: readonly string[]): void;
  sessionClosed(): void;
  acknowledged(ack: EventAck): void;
  policy(policy: Policy): void;
  /** The labels that the server holds of this agent: they count as its own do, and go before them. */
  pinned(labels: Readonly<Record<string, string>>): void;
  reset(reset: ResetMonitor): void;
  health(): Pick<Heartbeat, 'rulesCheckedMsAgo' | 'spooledEventRecords' | 'fault'>;
  /** On disk. */
  spooledBytes(): number;
  stop(): Promise<void>;
}

/** What the rules tell of themselves, for metrics. */
export interface RulesObserver {
  /** Events were read, and given to the rules. */
  read(events: number): void;
  concluded(kind: Outcome['kind']): void;
  /** Events that no rule has seen, and never will. */
  missed(events: number): void;
  /** What holds on this agent now. */
  holds(rules: number, monitors: number): void;
}

export interface RulesDeps {
  readonly clock: Clock;
  /** [0, 1) */
  readonly random: () => number;
  readonly log: EngineLog;
  readonly packs: Pick<PackLibrary, 'newest' | 'onChange'>;
  /** As of the link. */
  readonly send: (batch: EventBatch) => boolean;
  readonly sources: () => readonly EventSource[];
  /** Default: the disk. */
  readonly fs?: SpoolFs;
  readonly observe?: RulesObserver | undefined;
}

export interface RulesConfig {
  readonly dataDir: string;
  readonly agentName: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly facts: Readonly<Record<string, string>>;
  readonly interpreters: Readonly<Partial<Record<Interpreter, string>>>;
  readonly path: string;
  /** HOME of the probes' processes. */
  readonly home: string;
  readonly view: View;
  /** Of the work directories of the probes. */
  readonly workRoot: string;
  /** Records on disk that are not acknowledged, bytes. */
  readonly spoolLimitBytes: number;
  /** Of one processor that rules may take, over 0 up to 1. */
  readonly share: number;
  readonly maxBacklogMs: number;
  /** Probes at the same time. */
  readonly probes: number;
  /** Patterns of "pack/monitor" whose probes may start a process. */
  readonly allow: readonly string[];
  readonly killGraceMs: number;
}

const MAX_CHECKED_MS = 2 ** 32 - 1;

/** @throws OpenlineError DATA_DIR_UNUSABLE */
export async function startRules(deps: RulesDeps, config: RulesConfig): Promise<Rules> {
  const { clock, random, log } = deps;
  const spool = await openEventSpool(
    { fs: deps.fs ?? diskSpoolFs, clock, log },
    { directory: join(config.dataDir, 'event-spool'), limitBytes: config.spoolLimitBytes },
  );
  const jit = createJitSwitch(clock);
  const sender = createEventSender({ clock, log, spool, send: deps.send });
  const runtime = createRuleRuntime(
    { clock, log, spool, committed: sender.kick, observe: deps.observe },
    {
      share: config.share,
      maxBacklogMs: config.maxBacklogMs,
      took(events, usedMs) {
        jit.took(events, usedMs);
        deps.observe?.read(events);
      },
    },
  );
  const cookie = `probe-of-${spool.id}`;
  await endOrphans(cookie);
  const context = {
    clock,
    agentName: config.agentName,
    interpreters: config.interpreters,
    path: config.path,
    home: config.home,
    view: config.view,
    workRoot: config.workRoot,
    killGraceMs: config.killGraceMs,
    cookie,
    allow: config.allow,
  };
  const probes = createProbeScheduler(
    {
      clock,
      random,
      log,
      run: (plan, signal) => runProbe(context, plan, signal),
      result: ({ monitor }, result) => runtime.sample(monitor.pack, monitor.name, result),
    },
    { concurrency: config.probes },
  );
  const readers = createReaders({
    clock,
    sources: deps.sources,
    sinkFor: runtime.sinkFor,
    position: runtime.position,
    forget: runtime.forget,
  });
  let checked: Engine | undefined;
  const watching = startWatching(
    {
      log,
      packs: deps.packs,
      runtime,
      readers,
      probes,
      holds: deps.observe?.holds,
      async loadEngine() {
        const module = await import('@openline/packs/engine');
        checked ??= checkEngine(module.compileWatches, module.createEngine);
        return module;
      },
    },
    { agentName: config.agentName, labels: config.labels, facts: config.facts },
  );
  const check = startSelfCheck({ clock, log, prove: runtime.prove, engine: () => checked });

  return {
    sessionOpened: (capabilities) => sender.opened(capabilities.includes(EVENTS_CAPABILITY)),
    sessionClosed: sender.closed,
    acknowledged: ({ spoolId, seq }) => sender.acknowledged(spoolId, Number(seq)),
    policy: watching.policy,
    pinned: watching.pinned,
    reset: ({ packName, monitorName, instance }) => runtime.reset(packName, monitorName, instance),
    health: () => ({
      rulesCheckedMsAgo: Math.min(MAX_CHECKED_MS, Math.round(check.checkedMsAgo())),
      spooledEventRecords: BigInt(spool.pendingRecords()),
      fault: runtime.fault(),
    }),
    spooledBytes: spool.bytes,
    async stop() {
      check.stop();
      await watching.settled();
      await Promise.all([probes.stop(), readers.stop()]);
      await runtime.stop();
      await spool.close();
    },
  };
}

/** Of an agent that was killed: nobody waits for them any more. */
async function endOrphans(cookie: string): Promise<void> {
  for (const group of await orphanedGroups({ OPENLINE_RUN_ID: cookie }, undefined)) signalGroup(group, 'SIGKILL');
}
