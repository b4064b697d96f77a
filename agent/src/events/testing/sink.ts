import type { NodeEvent } from '@openline/packs';
import type { EventSink, Position } from '../source.ts';

/** For tests: a sink that keeps everything, as an engine with a spool would. */
export interface TestSink extends EventSink {
  readonly batches: { readonly events: readonly NodeEvent[]; readonly position: Position }[];
  readonly gaps: { readonly events: number; readonly reason: string }[];
  readonly faults: string[];
  events(): NodeEvent[];
  messages(): string[];
  /** Of the last batch. */
  position(): Position | undefined;
  /** Resolves once it holds; looked at after everything that comes. */
  until(holds: () => boolean, what?: string): Promise<void>;
  untilEvents(count: number): Promise<void>;
}

/** @param beforeTaking a batch is taken when it resolves; default at once */
export function testSink(beforeTaking: () => Promise<void> = async () => {}): TestSink {
  const waiting = new Set<() => void>();
  const look = () => {
    for (const one of waiting) one();
  };
  let events = 0;
  const sink: TestSink = {
    batches: [],
    gaps: [],
    faults: [],
    events: () => sink.batches.flatMap((batch) => batch.events),
    messages: () => sink.events().map((event) => event.message),
    position: () => sink.batches.at(-1)?.position,
    async push(batch, position) {
      await beforeTaking();
      sink.batches.push({ events: batch, position });
      events += batch.length;
      look();
    },
    lost(count, reason) {
      sink.gaps.push({ events: count, reason });
      look();
    },
    fault(what) {
      sink.faults.push(what);
      look();
    },
    until: (holds, what = 'it') =>
      new Promise((resolve, reject) => {
        const timeout = setTimeout(() => {
          waiting.delete(check);
          const seen = JSON.stringify({
            events,
            last: sink.messages().slice(-5),
            gaps: sink.gaps,
            faults: sink.faults,
          });
          reject(new Error(`${what} did not come; there came ${seen}`));
        }, 25_000);
        function check(): void {
          if (!holds()) return;
          waiting.delete(check);
          clearTimeout(timeout);
          resolve();
        }
        waiting.add(check);
        check();
      }),
    untilEvents: (count) => sink.until(() => events >= count, `event ${count}`),
  };
  return sink;
}
