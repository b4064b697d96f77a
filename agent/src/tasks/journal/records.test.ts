import { TaskResult } from '@openline/proto/agent';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { offerOf } from '../testing/support.ts';
import { encodeResult, encodeTask, type JournalRecord, lineOf, parseJournal } from './records.ts';
import { recordsOf, replay } from './replay.ts';

const runId = fc.constantFrom('a', 'b', 'c');
const at = fc.integer({ min: 1, max: 1_000 });
const record: fc.Arbitrary<JournalRecord> = fc.oneof(
  fc.record({
    t: fc.constant('accepted' as const),
    run: runId,
    at,
    expires: at,
    task: fc.constant(encodeTask(offerOf('a'))),
  }),
  fc.record({ t: fc.constant('started' as const), run: runId, at }),
  fc.record({ t: fc.constant('process' as const), run: runId, pid: at, ticks: fc.string(), boot: fc.string() }),
  fc.record({
    t: fc.constant('ended' as const),
    run: runId,
    expires: at,
    result: fc.constant(encodeResult(TaskResult.create())),
  }),
  fc.record({ t: fc.constant('committed' as const), run: runId, forget: at }),
  fc.constant({ t: 'probe' as const }),
);

describe('the lines of a journal', () => {
  it('are read as they were written', () => {
    fc.assert(
      fc.property(fc.array(record), (records) => {
        const parsed = parseJournal(Buffer.from(records.map(lineOf).join('')));
        expect(parsed.records).toEqual(records);
        expect(parsed.damaged).toBe(false);
      }),
    );
  });

  it('cut off anywhere are read up to the cut, and that is no damage', () => {
    fc.assert(
      fc.property(fc.array(record, { minLength: 1 }), fc.nat(), (records, cut) => {
        const bytes = Buffer.from(records.map(lineOf).join(''));
        const parsed = parseJournal(bytes.subarray(0, cut % bytes.length));
        expect(parsed.damaged).toBe(false);
        expect(parsed.records).toEqual(records.slice(0, parsed.records.length));
        expect(bytes.subarray(0, parsed.validBytes).toString()).toBe(parsed.records.map(lineOf).join(''));
      }),
    );
  });

  it('with a bad byte anywhere never yield a record that was not written', () => {
    fc.assert(
      fc.property(
        fc.array(record, { minLength: 1 }),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (records, where, flip) => {
          const bytes = Buffer.from(records.map(lineOf).join(''));
          const index = where % bytes.length;
          bytes[index] = (bytes[index] ?? 0) ^ flip;
          const known = new Set(records.map(lineOf));
          for (const parsed of parseJournal(bytes).records) expect(known).toContain(lineOf(parsed));
        },
      ),
    );
  });

  it('that are anything at all never throw', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void parseJournal(Buffer.from(bytes))));
  });
});

describe('a rewritten journal', () => {
  it('says the same as the records that it replaces', () => {
    fc.assert(
      fc.property(fc.array(record), (records) => {
        const once = replay(records);
        const twice = replay([...once.runs.values()].flatMap(recordsOf));
        for (const [id, run] of once.runs) {
          const again = twice.runs.get(id);
          if (run.forgetUnixMs > 0) expect(again?.forgetUnixMs).toBe(run.forgetUnixMs);
          else if (run.result !== undefined) expect(again?.result).toEqual(run.result);
          else expect([again?.task, again?.startedUnixMs ?? 0]).toEqual([run.task, run.startedUnixMs]);
        }
      }),
    );
  });
});
