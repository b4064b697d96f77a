import type { Clock } from './clock.ts';
import type { Input } from './dispatch-machine.ts';
import { filledIn } from './fill-in.ts';
import type { Journal } from './journal/journal.ts';
import { createLaunch, createTurnstile, type LaunchContext } from './launcher.ts';
import type { Outputs } from './output/outputs.ts';
import { bootId, startTicks } from './process/groups.ts';
import { createThrottle, type Reporter } from './reporter.ts';
import type { Run } from './run.ts';

/** Turns the action `launch` into a process or a built-in, and what comes of it into inputs and reports. */
export interface Starter {
  /** May run while `started` is on its way to disk; starts nothing. */
  prepare(run: Run): void;
  launch(run: Run): void;
}

export interface StarterDeps {
  readonly clock: Clock;
  readonly journal: Journal;
  readonly outputs: Outputs;
  readonly reporter: Reporter;
  readonly apply: (run: Run, input: Input) => void;
}

export type StarterConfig = Omit<LaunchContext, 'clock' | 'spawnTurn'>;

const PROGRESS_EVERY_MS = 250;

export function createStarter(deps: StarterDeps, config: StarterConfig): Starter {
  const { clock, journal, outputs, reporter, apply } = deps;
  const context: LaunchContext = { ...config, clock, spawnTurn: createTurnstile() };
  let boot: Promise<string> | undefined;

  /** So that the next process of the agent can end it if this one dies. */
  async function nameProcess(run: Run, pid: number): Promise<void> {
    boot ??= bootId();
    const [ticks, bootName] = [await startTicks(pid), await boot];
    if (ticks === undefined || run.state.kind !== 'running') return;
    run.process = { pid, ticks, boot: bootName };
    journal.append([{ t: 'process', run: run.id, ...run.process }], 'written');
  }

  return {
    prepare(run) {
      if (run.work === undefined) return;
      const spool = outputs.open(run.id);
      run.spool = spool;
      const progress = createThrottle<{ percent: number | undefined; note: string }>(
        clock,
        PROGRESS_EVERY_MS,
        (line) => {
          if (run.state.kind === 'running') reporter.progress({ runId: run.id, ...line });
        },
      );
      run.launch = createLaunch(context, {
        ...run.work,
        runId: run.id,
        spool,
        onStarted(pid) {
          run.startedUnixMs = clock.unixMs();
          sayStarted(reporter, run);
          if (pid === undefined) return;
          run.view = config.view.name;
          void nameProcess(run, pid);
        },
        onOutput: () => outputs.kept(run.id),
        onProgress: progress.push,
        onEnded(ending) {
          progress.stop();
          apply(run, { kind: 'exited', ending });
        },
      });
      run.launch.prepare();
    },
    launch(run) {
      if (run.result !== undefined) {
        // A ping: its result was journalled with its acceptance.
        sayStarted(reporter, run);
        apply(run, { kind: 'exited', ending: { end: 'succeeded', code: '', reason: '' } });
        return;
      }
      const timeoutMs = run.task?.timeoutMs || run.work?.ready.task.timeoutMs || 0;
      run.timeout = clock.after(timeoutMs, () => {
        const reason = `it ran longer than its timeout of ${timeoutMs / 1_000} s`;
        apply(run, { kind: 'stop', stop: { end: 'timed_out', code: 'TASK_TIMED_OUT', reason } });
      });
      run.launched = true;
      run.launch?.start();
    },
  };
}

export function sayStarted(reporter: Reporter, run: Run): void {
  const atUnixMs = BigInt(Math.trunc(run.startedUnixMs));
  reporter.started({ runId: run.id, atUnixMs, parametersFrom: filledIn(run.task) });
}
