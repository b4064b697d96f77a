import type { TaskAccepted, TaskProgress, TaskReports, TaskResult, TaskStarted } from '@openline/proto/agent';
import type { Clock, Timer } from './clock.ts';

/** Gathers what one turn of the event loop has to say into one message. While no session is open nothing is kept: the engine says it again. */
export interface Reporter {
  accepted(report: TaskAccepted): void;
  started(report: TaskStarted): void;
  progress(report: TaskProgress): void;
  result(report: TaskResult): void;
  /** Says now what is gathered. */
  flush(): void;
}

export function createReporter(send: (reports: TaskReports) => boolean): Reporter {
  let gathered: TaskReports | undefined;

  function open(): TaskReports {
    if (gathered === undefined) {
      gathered = { accepted: [], started: [], progress: [], results: [] };
      // The end of this turn, after everything that became ready with it.
      setImmediate(flush);
    }
    return gathered;
  }

  function flush(): void {
    const reports = gathered;
    gathered = undefined;
    if (reports !== undefined) send(reports);
  }

  return {
    accepted: (report) => open().accepted.push(report),
    started: (report) => open().started.push(report),
    progress: (report) => open().progress.push(report),
    result: (report) => open().results.push(report),
    flush,
  };
}

/** The latest value wins; at most one in every `everyMs`. */
export function createThrottle<T>(clock: Clock, everyMs: number, emit: (value: T) => void) {
  let lastMs = Number.NEGATIVE_INFINITY;
  let timer: Timer | undefined;
  let latest: T | undefined;

  function fire(): void {
    timer = undefined;
    const value = latest;
    latest = undefined;
    if (value === undefined) return;
    lastMs = clock.nowMs();
    emit(value);
  }

  return {
    push(value: T): void {
      latest = value;
      if (timer !== undefined) return;
      const waitMs = lastMs + everyMs - clock.nowMs();
      if (waitMs <= 0) fire();
      else timer = clock.after(waitMs, fire);
    },
    stop(): void {
      timer?.cancel();
      timer = undefined;
      latest = undefined;
    },
  };
}
