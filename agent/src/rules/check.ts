import type { Pack, PackRule } from '@openline/packs';
import type { compileWatches as CompileWatches, createEngine as CreateEngine, Engine } from '@openline/packs/engine';
import type { Clock, EngineLog, Timer } from '../tasks/clock.ts';

/** Takes an event that nothing raised through the rules now and then: a heartbeat says how long ago that worked. */
export interface SelfCheck {
  checkedMsAgo(): number;
  stop(): void;
}

export interface SelfCheckDeps {
  readonly clock: Clock;
  readonly log: EngineLog;
  /** As of the runtime: resolves when what `synthetic` stands for is on disk. */
  readonly prove: (synthetic: () => void) => Promise<void>;
  /** An engine that fires on each synthetic event; undefined while no rule holds here, and none is loaded. */
  readonly engine: () => Engine | undefined;
}

const EVERY_MS = 10_000;
const PACK = 'openline';
const RULE = 'self-check';

export function startSelfCheck({ clock, log, prove, engine }: SelfCheckDeps): SelfCheck {
  let checkedMs = clock.nowMs();
  let timer: Timer | undefined;
  let stopped = false;
  let failing = false;

  function synthetic(): void {
    const checked = engine();
    if (checked === undefined) return;
    const atUnixMs = clock.unixMs();
    const event = { log: PACK, source: PACK, id: RULE, level: 'info', atUnixMs, message: RULE, data: {} } as const;
    if (checked.event(event, atUnixMs).length !== 1) throw new Error('the rule engine does not fire');
    checked.changes();
  }

  async function check(): Promise<void> {
    try {
      // While the disk refuses this waits, and the time grows that the heartbeat tells.
      await prove(synthetic);
      checkedMs = clock.nowMs();
      failing = false;
    } catch (error) {
      if (!failing) log.error({ error }, 'the rules fail their own check');
      failing = true;
    }
    if (!stopped) timer = clock.after(EVERY_MS, () => void check());
  }

  timer = clock.after(0, () => void check());
  return {
    checkedMsAgo: () => Math.max(0, clock.nowMs() - checkedMs),
    stop() {
      stopped = true;
      timer?.cancel();
    },
  };
}

/** An engine of its own, so that no rule of a pack sees the event, and none can be in its way. */
export function checkEngine(compile: typeof CompileWatches, create: typeof CreateEngine): Engine {
  const rule: PackRule = {
    name: RULE,
    title: RULE,
    description: '',
    requires: {},
    enabled: true,
    settings: {},
    on: [{ logs: [PACK], sources: undefined, ids: undefined, level: 'info', where: undefined, pattern: RULE }],
    condition: { kind: 'each' },
    alert: { severity: 'information', title: RULE, description: '', key: undefined },
    run: undefined,
    metric: undefined,
  };
  const pack: Pack = {
    name: PACK,
    version: '0.0.0',
    title: RULE,
    description: '',
    tasks: new Map(),
    rules: new Map([[RULE, rule]]),
    monitors: new Map(),
  };
  return create(compile([pack], { agentName: '', labels: {}, facts: {} }, []));
}
