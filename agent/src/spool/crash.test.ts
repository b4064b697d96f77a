import type { EventRecord } from '@openline/proto/agent';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seeded } from '../../../test/harness/chaos.ts';
import { systemClock } from '../tasks/clock.ts';
import { quiet } from '../tasks/testing/support.ts';
import { type EventSpool, type NewRecord, openEventSpool } from './event-spool.ts';
import { type CrashDisk, crashDisk } from './testing/crash-disk.ts';

const EVENTS = 60;
/** Every third event of the log leads to a record. */
const due = (event: number) => event % 3 === 0;

const recordOf = (event: number): NewRecord => ({
  atUnixMs: BigInt(event),
  kind: {
    $case: 'detection',
    value: {
      rule: { packName: 'demo', packVersion: '1.0.0', name: 'third' },
      count: 1,
      events: [],
      eventCount: 1n,
      alert: { severity: 1, title: 'x'.repeat(60), description: '', key: String(event) },
    },
  },
});

/** As a server does: what it has of one number of one spool is never replaced. */
type Server = Map<string, EventRecord>;

interface Life {
  readonly operations: number;
  readonly powerCut: boolean;
}

/** One process: reads the log on from the position in the spool, and sends what it concludes. Ends when it is through, or dies. */
async function live(disk: CrashDisk, server: Server, limitBytes: number, random: () => number): Promise<void> {
  const spool = await openEventSpool(
    { fs: disk, clock: systemClock, log: quiet },
    { directory: '/spool', limitBytes, segmentBytes: limitBytes / 8, retryMs: 5 },
  );
  let position = Number(spool.restored().state['position'] ?? 0);
  while (position < EVENTS) {
    const until = Math.min(EVENTS, position + 1 + Math.floor(random() * 7));
    const records: NewRecord[] = [];
    for (; position < until; position += 1) if (due(position + 1)) records.push(recordOf(position + 1));
    const change = { set: { position, filler: 'x'.repeat(100) }, removed: [] };
    const committed = spool.commit({ records, change }, false);
    if (random() < 0.5) await committed;
    if (random() < 0.6) await send(spool, server, random);
  }
  await spool.commit({ records: [], change: { set: {}, removed: [] } }, true);
  await send(spool, server, () => 1);
}

async function send(spool: EventSpool, server: Server, random: () => number): Promise<void> {
  for (let after = spool.acked(); ; ) {
    const records = await spool.read(after, 300);
    if (records.length === 0) return;
    for (const record of records) {
      const name = `${spool.id}/${record.seq}`;
      const before = server.get(name);
      if (before === undefined) server.set(name, record);
      else if (record.kind?.$case === 'detection') expect(before).toEqual(record);
    }
    after = Number(records.at(-1)?.seq);
    if (random() < 0.3) return;
    if (random() < 0.7) spool.acknowledged(after);
  }
}

async function run(lives: readonly Life[], seed: number, limitBytes: number): Promise<Server> {
  const random = seeded(seed);
  const server: Server = new Map();
  let disk = crashDisk();
  for (const { operations, powerCut } of lives) {
    disk.dieAt = operations;
    const lived = live(disk, server, limitBytes, random);
    await Promise.race([lived, disk.died]);
    disk = disk.after(powerCut, random);
  }
  await live(disk, server, limitBytes, random);
  return server;
}

const lives = fc.array(fc.record({ operations: fc.integer({ min: 1, max: 90 }), powerCut: fc.boolean() }), {
  maxLength: 8,
});
const eventsOf = (server: Server) =>
  [...server.values()].flatMap(({ kind }) => (kind?.$case === 'detection' ? [Number(kind.value.alert?.key)] : []));
const expected = Array.from({ length: EVENTS }, (_, i) => i + 1).filter(due);

describe('an agent that dies at any moment, by kill -9 or by a power cut', () => {
  it('tells the server of each event once: none twice, none skipped', async () => {
    await fc.assert(
      fc.asyncProperty(lives, fc.integer(), async (dying, seed) => {
        expect(eventsOf(await run(dying, seed, 1_000_000)).sort((a, b) => a - b)).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  }, 60_000);

  it('also when its spool is small: what was dropped is counted, never less than it was', async () => {
    await fc.assert(
      fc.asyncProperty(lives, fc.integer(), async (dying, seed) => {
        const server = await run(dying, seed, 1_600);
        const told = eventsOf(server);
        expect(told.length).toBe(new Set(told).size);
        let gone = 0n;
        for (const { kind } of server.values()) if (kind?.$case === 'gap') gone += kind.value.events;
        expect(told.length + Number(gone)).toBeGreaterThanOrEqual(expected.length);
      }),
      { numRuns: 300 },
    );
  }, 60_000);
});
