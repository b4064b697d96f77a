import type { EventSink, EventSource, Position } from '../events/source.ts';
import type { Clock } from '../tasks/clock.ts';

/** Reads exactly the logs that some rule or monitor wants events of. */
export interface Readers {
  /**
   * From now on these. Resolves when each that is new has said where it begins, or that it cannot: what happens from then on is seen. Waits a
   * moment at most.
   * @param logs as of the engine: a `*` stands for any text
   */
  want(logs: readonly string[]): Promise<void>;
  stop(): Promise<void>;
}

export interface ReadersDeps {
  readonly clock: Clock;
  /** All that there are, made anew: a source is started once. */
  readonly sources: () => readonly EventSource[];
  readonly sinkFor: (log: string) => EventSink;
  readonly position: (log: string) => Position | undefined;
  readonly forget: (log: string) => void;
}

const BEGIN_WITHIN_MS = 2_000;

export function createReaders(deps: ReadersDeps): Readers {
  const { clock } = deps;
  const reading = new Map<string, EventSource>();

  /** Resolves with the first word of the source. */
  function start(source: EventSource): Promise<void> {
    const { log } = source;
    reading.set(log, source);
    const sink = deps.sinkFor(log);
    return new Promise((resolve) => {
      const timer = clock.after(BEGIN_WITHIN_MS, resolve);
      const spoke = () => {
        timer.cancel();
        resolve();
      };
      const known = deps.position(log);
      if (known !== undefined) spoke();
      source.start(known, {
        push(batch, position, more) {
          spoke();
          return sink.push(batch, position, more);
        },
        lost: sink.lost,
        fault(what) {
          if (what !== '') spoke();
          sink.fault(what);
        },
      });
    });
  }

  return {
    async want(logs) {
      const wanted = (log: string) => logs.some((one) => mayMeet(one, log));
      const begun: Promise<void>[] = [];
      for (const source of deps.sources()) {
        if (wanted(source.log) && !reading.has(source.log)) begun.push(start(source));
      }
      for (const [log, source] of [...reading]) {
        if (wanted(log)) continue;
        reading.delete(log);
        await source.stop();
        deps.forget(log);
      }
      await Promise.all(begun);
    },
    async stop() {
      const all = [...reading.values()];
      reading.clear();
      await Promise.all(all.map((source) => source.stop()));
    },
  };
}

/** Whether some log may be meant by both: names that begin alike up to where either becomes a pattern. Rather one too many than one too few. */
export function mayMeet(a: string, b: string): boolean {
  const [headA, headB] = [headOf(a), headOf(b)];
  if (headA === a && headB === b) return a === b;
  if (headA === a) return a.startsWith(headB);
  if (headB === b) return b.startsWith(headA);
  return headA.startsWith(headB) || headB.startsWith(headA);
}

function headOf(pattern: string): string {
  return pattern.split(/[*?[{]/, 1)[0] ?? '';
}
