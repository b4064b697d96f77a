import { type AgentMessage, TaskOutput, TaskReports } from '@openline/proto/agent';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createOutbox, cutReports } from './outbox.ts';

const heartbeat = (seq: bigint): AgentMessage => ({
  kind: {
    $case: 'heartbeat',
    value: {
      seq,
      sentUnixMs: 0n,
      running: 0,
      queued: 0,
      capacity: 0,
      spooledResults: 0,
      spooledOutputBytes: 0n,
      executorCheckedMsAgo: 0,
      fault: '',
      rssBytes: 0n,
      rulesCheckedMsAgo: 0,
      spooledEventRecords: 0n,
    },
  },
});
const started = (...runIds: string[]) =>
  TaskReports.create({ started: runIds.map((runId) => ({ runId, atUnixMs: 0n })) });
const chunk = TaskOutput.create({ runId: 'r' });

function congestible() {
  const written: AgentMessage[] = [];
  let room = 0;
  let writable = 0;
  const outbox = createOutbox(
    (message) => {
      written.push(message);
      return --room > 0;
    },
    () => writable++,
  );
  return {
    outbox,
    kinds: () => written.splice(0).map((m) => m.kind?.$case),
    written,
    writable: () => writable,
    drain: (n: number) => {
      room = n;
      outbox.drained();
    },
  };
}

describe('an outbox', () => {
  it('gives events after reports, and before output gets any room again', () => {
    const { outbox, drain, kinds, writable } = congestible();
    outbox.control(heartbeat(1n));
    expect(outbox.output(chunk)).toBe(false);
    outbox.events({ spoolId: 's', records: [] });
    outbox.events({ spoolId: 's', records: [] });
    outbox.reports(started('a'));
    outbox.control(heartbeat(2n));
    expect(kinds()).toEqual(['heartbeat']);
    drain(3);
    expect(kinds()).toEqual(['heartbeat', 'taskReports', 'eventBatch']);
    expect(writable()).toBe(0);
    drain(2);
    expect(kinds()).toEqual(['eventBatch']);
    expect(writable()).toBe(1);
  });

  it('takes output only while the stream has room, and says when it has room again', () => {
    const { outbox, drain, writable, kinds } = congestible();
    expect(outbox.output(chunk)).toBe(true);
    expect(outbox.output(chunk)).toBe(false);
    expect(kinds()).toEqual(['taskOutput']);
    drain(5);
    expect(writable()).toBe(1);
    expect(outbox.output(chunk)).toBe(true);
  });

  it('does not call for output that nobody wanted to send', () => {
    const { outbox, drain, writable } = congestible();
    outbox.output(chunk);
    drain(5);
    expect(writable()).toBe(0);
  });

  it('sends control before reports once there is room', () => {
    const { outbox, drain, kinds } = congestible();
    outbox.output(chunk);
    outbox.reports(started('a'));
    outbox.control(heartbeat(1n));
    kinds();
    drain(5);
    expect(kinds()).toEqual(['heartbeat', 'taskReports']);
  });

  it('joins the reports that had to wait into one message', () => {
    const { outbox, drain, written } = congestible();
    outbox.output(chunk);
    outbox.reports(started('a'));
    outbox.reports(started('b', 'c'));
    written.length = 0;
    drain(5);
    expect(written).toHaveLength(1);
    expect(written[0]?.kind).toMatchObject({ value: { started: [{ runId: 'a' }, { runId: 'b' }, { runId: 'c' }] } });
  });

  it('lets only the newest heartbeat wait', () => {
    const { outbox, drain, written } = congestible();
    outbox.output(chunk);
    outbox.control(heartbeat(1n));
    outbox.control(heartbeat(2n));
    written.length = 0;
    drain(5);
    expect(written.map((m) => m.kind)).toMatchObject([{ value: { seq: 2n } }]);
  });

  it('says so when more waits than a server that reads could cause', () => {
    const { outbox } = congestible();
    outbox.output(chunk);
    expect(outbox.reports(started(...Array.from({ length: 20_001 }, (_, i) => `${i}`)))).toBe(false);
  });
});

describe('reports that are cut', () => {
  const texts = fc.string({ maxLength: 300 });
  const parametersFrom = fc.dictionary(texts, fc.string({ minLength: 200, maxLength: 250 }), { maxKeys: 5 });
  const report = fc.record({
    accepted: fc.array(fc.record({ runId: texts, atUnixMs: fc.constant(0n), queuePosition: fc.nat(9) }), {
      maxLength: 20,
    }),
    started: fc.array(fc.record({ runId: texts, atUnixMs: fc.constant(0n), parametersFrom }), { maxLength: 20 }),
    progress: fc.array(fc.record({ runId: texts, note: texts }), { maxLength: 20 }),
    results: fc.array(
      fc
        .record({ runId: texts, reason: texts, parametersFrom })
        .map((r) => TaskReports.create({ results: [r] }).results),
      { maxLength: 20 },
    ),
  });

  it('lose nothing, keep their order, and fit', () => {
    fc.assert(
      fc.property(report, fc.integer({ min: 500, max: 20_000 }), (made, maxBytes) => {
        const whole = TaskReports.create({ ...made, results: made.results.flat() });
        const parts: TaskReports[] = [];
        let rest: TaskReports | undefined = whole;
        while (rest) {
          const [first, next] = cutReports(rest, maxBytes);
          parts.push(first);
          rest = next;
        }
        expect(parts.flatMap((p) => p.accepted)).toEqual(whole.accepted);
        expect(parts.flatMap((p) => p.started)).toEqual(whole.started);
        expect(parts.flatMap((p) => p.progress)).toEqual(whole.progress);
        expect(parts.flatMap((p) => p.results)).toEqual(whole.results);
        for (const part of parts) {
          const count = part.accepted.length + part.started.length + part.progress.length + part.results.length;
          if (count > 1) expect(TaskReports.encode(part).finish().length).toBeLessThanOrEqual(maxBytes);
        }
      }),
    );
  });
});
