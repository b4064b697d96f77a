import { afterEach, describe, expect, it, vi } from 'vitest';
import { type EventSpool, openEventSpool } from '../spool/event-spool.ts';
import { type CrashDisk, crashDisk } from '../spool/testing/crash-disk.ts';
import { systemClock } from '../tasks/clock.ts';
import { manualClock } from '../tasks/testing/manual-clock.ts';
import { quiet, until } from '../tasks/testing/support.ts';
import { COALESCE_MS } from './gatherer.ts';
import type { IntakeConfig } from './intake.ts';
import { createRuleRuntime, type RuleEngine, type RuleRuntime } from './runtime.ts';
import { eventOf, recordsIn, shortOf, tinyEngine } from './testing/support.ts';

/** A wall clock that can be moved, on the system's timers. */
function movable() {
  let aheadMs = 0;
  return {
    clock: {
      ...systemClock,
      nowMs: () => systemClock.nowMs() + aheadMs,
      unixMs: () => systemClock.unixMs() + aheadMs,
    },
    move(ms: number) {
      aheadMs += ms;
    },
  };
}

interface Node {
  readonly runtime: RuleRuntime;
  readonly spool: EventSpool;
  readonly told: () => number;
  readonly records: () => Promise<string[]>;
}

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

async function start(
  disk: CrashDisk,
  options: { engine?: RuleEngine; clock?: typeof systemClock; config?: Partial<IntakeConfig> } = {},
): Promise<Node> {
  const clock = options.clock ?? systemClock;
  const spool = await openEventSpool(
    { fs: disk, clock, log: quiet },
    { directory: '/spool', limitBytes: 1_000_000, retryMs: 5 },
  );
  let told = 0;
  const runtime = createRuleRuntime(
    { clock, log: quiet, spool, committed: () => void told++ },
    { share: 1, maxBacklogMs: 60_000, ...options.config },
  );
  runtime.use(options.engine ?? tinyEngine(runtime.engineState()));
  return {
    runtime,
    spool,
    told: () => told,
    records: async () => (await recordsIn(spool)).map(shortOf),
  };
}

async function startStopped(...args: Parameters<typeof start>): Promise<Node> {
  const node = await start(...args);
  stops.push(async () => {
    await node.runtime.stop();
    await node.spool.close();
  });
  return node;
}

const flooded = (records: readonly string[]) =>
  records.reduce((sum, one) => sum + Number(/^agent: (\d+) flood$/.exec(one)?.[1] ?? 0), 0);

describe('the runtime of the rules', () => {
  it('has a detection on disk at once, and says so', async () => {
    const { runtime, records, told } = await startStopped(crashDisk());
    await runtime.sinkFor('agent').push([eventOf('count a'), eventOf('fire b')], 'p1');
    await until(() => told() === 1);
    expect(await records()).toEqual(['b×1']);
  });

  it('puts what fires again within a moment into one record, with how often, and the newest events', async () => {
    const { clock, move } = movable();
    const { runtime, records, told, spool } = await startStopped(crashDisk(), { clock });
    const sink = runtime.sinkFor('agent');
    for (let i = 0; i < 30; i += 1) await sink.push([eventOf(`fire a ${i}`), eventOf('fire b')], `p${i}`);
    await until(() => told() >= 1);
    expect(await records()).toEqual(['a×1', 'b×1']);
    move(COALESCE_MS);
    await sink.push([], 'p30');
    await until(() => told() >= 2);
    expect(await records()).toEqual(['a×1', 'b×1', 'a×29', 'b×29']);
    const [, , gathered] = await recordsIn(spool);
    const value = gathered?.kind?.$case === 'detection' ? gathered.kind.value : undefined;
    expect(value?.eventCount).toBe(29n);
    expect(value?.events.map(({ message }) => message).at(-1)).toBe('fire a 29');
    expect(value?.events).toHaveLength(20);
  });

  it('goes on after a kill -9 with what was gathered, known and read until then', async () => {
    const disk = crashDisk();
    const first = await start(disk);
    await first.runtime.sinkFor('agent').push([eventOf('fire a'), eventOf('fire a'), eventOf('fire a')], 'p1');
    await until(() => first.told() === 1);
    const { runtime, records, told } = await startStopped(disk.after(false, Math.random));
    expect(runtime.position('agent')).toBe('p1');
    expect(runtime.engineState()).toEqual({ a: 3 });
    await until(() => told() === 1);
    expect(await records()).toEqual(['a×1', 'a×2']);
  });

  it('writes positions and state that lead to nothing within a second or two, without a sync', async () => {
    const disk = crashDisk();
    const { runtime } = await start(disk);
    const sink = runtime.sinkFor('agent');
    await sink.push([eventOf('count a')], 'p1');
    await until(() => disk.has('p1'));
    const { syncs } = disk;
    await sink.push([eventOf('count a')], 'p2');
    await until(() => disk.has('p2'));
    expect(disk.syncs).toBe(syncs);
    const next = await startStopped(disk.after(false, Math.random));
    expect(next.runtime.position('agent')).toBe('p2');
    expect(next.runtime.engineState()).toEqual({ a: 2 });
  });

  it('counts what a source lost once, with the position behind it', async () => {
    const disk = crashDisk();
    const first = await start(disk);
    const sink = first.runtime.sinkFor('agent');
    await sink.push([eventOf('fire a')], 'p1');
    await until(() => first.told() === 1);
    // It dies between the loss and the position behind it: the source will find the loss again.
    sink.lost(7, 'rotated away');
    const diskOfSecond = disk.after(false, Math.random);
    const second = await start(diskOfSecond);
    const again = second.runtime.sinkFor('agent');
    again.lost(7, 'rotated away');
    await again.push([], 'p2');
    await second.runtime.stop();
    const { runtime, records, told } = await startStopped(diskOfSecond.after(false, Math.random));
    await until(() => told() > 0);
    expect(runtime.position('agent')).toBe('p2');
    expect(await records()).toEqual(['a×1', 'agent: 7 rotated away']);
  });

  it('keeps what it was told to note over a restart', async () => {
    const disk = crashDisk();
    const first = await start(disk);
    first.runtime.note('policy', { overrides: 1 });
    await first.runtime.stop();
    const { runtime } = await startStopped(disk.after(false, Math.random));
    expect(runtime.noted('policy')).toEqual({ overrides: 1 });
  });

  it('takes nothing more while the disk refuses, and all of it afterwards', async () => {
    const disk = crashDisk();
    const { runtime, records, told } = await startStopped(disk);
    const sink = runtime.sinkFor('agent');
    await sink.push([eventOf('fire a')], 'p1');
    await until(() => told() === 1);
    disk.fail.write = 'no space left on device';
    await sink.push([eventOf('fire b')], 'p2');
    await until(() => runtime.fault() !== '');
    expect(runtime.fault()).toContain('no space left on device');
    let taken = false;
    void sink.push([eventOf('fire c')], 'p3').then(() => {
      taken = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(taken).toBe(false);
    disk.fail.write = undefined;
    await until(() => told() === 3);
    expect(taken).toBe(true);
    expect(await records()).toEqual(['a×1', 'b×1', 'c×1']);
    expect(runtime.fault()).toBe('');
  });

  it('lets the event loop turn every few milliseconds, however long a batch is', async () => {
    const engine = tinyEngine();
    const slow: RuleEngine = {
      ...engine,
      event(event, nowUnixMs) {
        const endMs = performance.now() + 1;
        while (performance.now() < endMs);
        return engine.event(event, nowUnixMs);
      },
    };
    const { runtime } = await startStopped(crashDisk(), { engine: slow });
    let turns = 0;
    const watching = setInterval(() => void turns++, 1);
    await runtime.sinkFor('agent').push(
      Array.from({ length: 200 }, (_, i) => eventOf(`count ${i}`)),
      'p1',
    );
    clearInterval(watching);
    // 200 ms of work, in slices of 8.
    expect(turns).toBeGreaterThanOrEqual(20);
    expect(engine.seen).toHaveLength(200);
  });

  it('asks what is due within half a minute of a wall clock that is set back', async () => {
    const { clock, to, setWall } = manualClock(Date.now());
    const due = clock.unixMs() + 60_000;
    let ticks = 0;
    const engine: RuleEngine = {
      ...tinyEngine(),
      dueAtUnixMs: () => due,
      tick() {
        ticks++;
        return [];
      },
    };
    await startStopped(crashDisk(), { clock, engine });
    await to(1_000);
    ticks = 0;
    setWall(-3_600_000);
    await to(31_000);
    expect(ticks).toBe(1);
  });

  it('skips a backlog that is too old, counts it to the event, and goes on with what is fresh', async () => {
    const { clock, move } = movable();
    const { runtime, records } = await startStopped(crashDisk(), { clock, config: { maxBacklogMs: 10_000 } });
    const sink = runtime.sinkFor('agent');
    const began = clock.unixMs();
    const batch = (n: number) => Array.from({ length: 10 }, () => eventOf(`count x ${n}`, { atUnixMs: began + n }));
    // The source always has more, and falls behind: the clock runs, its events do not.
    await sink.push(batch(0), 'p0');
    for (let n = 1; n <= 5; n += 1) {
      const pushed = sink.push(batch(n), `p${n}`);
      move(4_000);
      await pushed;
    }
    await sink.push([eventOf('fire fresh', { atUnixMs: clock.unixMs() })], 'p6');
    move(5_000);
    await sink.push([], 'p7');
    for (let seen: string[] = []; flooded(seen) < 30; seen = await records()) await until(() => true);
    expect(flooded(await records())).toBe(30);
    expect(await records()).toContain('fresh×1');
  });

  it('skips no event of a log that it reads to its end, whatever time the log gives them', async () => {
    const { clock, move } = movable();
    const { runtime, records } = await startStopped(crashDisk(), { clock, config: { maxBacklogMs: 1_000 } });
    const sink = runtime.sinkFor('agent');
    for (let n = 1; n <= 5; n += 1) {
      const pushed = sink.push([eventOf(`fire x${n}`, { atUnixMs: clock.unixMs() - 3_600_000 })], `p${n}`, false);
      move(400);
      await pushed;
    }
    await vi.waitFor(async () => expect(await records()).toHaveLength(5));
    expect(await records()).toEqual(['x1×1', 'x2×1', 'x3×1', 'x4×1', 'x5×1']);
  });

  it('skips what is too old of a log that has always more, however slowly it is read', async () => {
    const { clock, move } = movable();
    const { runtime, records } = await startStopped(crashDisk(), { clock, config: { maxBacklogMs: 1_000 } });
    const sink = runtime.sinkFor('agent');
    const atUnixMs = clock.unixMs();
    for (let n = 1; n <= 5; n += 1) {
      await sink.push([eventOf('count x', { atUnixMs })], `p${n}`, true);
      move(600);
    }
    move(5_000);
    await sink.push([], 'p6', true);
    await vi.waitFor(async () => expect(flooded(await records())).toBe(3));
  });

  it('does not skip what it finds after a long sleep, however old it is', async () => {
    const { runtime, records, told } = await startStopped(crashDisk(), { config: { maxBacklogMs: 1_000 } });
    const old = Date.now() - 3_600_000;
    await runtime.sinkFor('agent').push([eventOf('fire old', { atUnixMs: old })], 'p1');
    await until(() => told() === 1);
    expect(await records()).toEqual(['old×1']);
  });

  it('survives an engine that fails on an event, and says so', async () => {
    const { runtime, records, told } = await startStopped(crashDisk());
    await runtime.sinkFor('agent').push([eventOf('break'), eventOf('fire a')], 'p1');
    await until(() => told() === 1);
    expect(await records()).toEqual(['a×1']);
    expect(runtime.fault()).toBe('rule engine: out of order');
  });

  it('proves that it works only when what it proves with is on disk', async () => {
    const disk = crashDisk();
    const { runtime } = await startStopped(disk);
    await runtime.prove(() => undefined);
    disk.fail.sync = 'input/output error';
    let proved = false;
    void runtime
      .prove(() => undefined)
      .then(() => {
        proved = true;
      });
    await until(() => runtime.fault() !== '');
    expect(proved).toBe(false);
    disk.fail.sync = undefined;
    await until(() => proved);
  });
});
