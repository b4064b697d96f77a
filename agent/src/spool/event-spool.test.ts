import type { EventRecord } from '@openline/proto/agent';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../tasks/clock.ts';
import { quiet, until } from '../tasks/testing/support.ts';
import { type EventSpool, type NewRecord, openEventSpool } from './event-spool.ts';
import { type CrashDisk, crashDisk } from './testing/crash-disk.ts';

async function open(disk: CrashDisk, limitBytes = 1_000_000, segmentBytes?: number): Promise<EventSpool> {
  const size = segmentBytes === undefined ? {} : { segmentBytes };
  // Never closed: most are left on a disk that does not answer any more.
  return openEventSpool(
    { fs: disk, clock: systemClock, log: quiet },
    { directory: '/spool', limitBytes, retryMs: 5, ...size },
  );
}

const WATCH = { packName: 'demo', packVersion: '1.0.0', name: 'rule' };
const detection = (key: string, count = 1): NewRecord => ({
  atUnixMs: 1_000n,
  kind: {
    $case: 'detection',
    value: {
      rule: WATCH,
      count,
      events: [],
      eventCount: BigInt(count),
      alert: { severity: 2, title: 'x'.repeat(100), description: '', key },
    },
  },
});
const state = (instance: string, from: 0 | 1 | 2 | 3, to: 1 | 2 | 3): NewRecord => ({
  atUnixMs: 2_000n,
  kind: {
    $case: 'stateChange',
    value: { monitor: WATCH, instance, from, to, reason: 'why', sampleJson: '', events: [], recoveries: [] },
  },
});
const note = (spool: EventSpool, records: NewRecord[], set: Record<string, unknown> = {}) =>
  spool.commit({ records, change: { set, removed: [] } }, false);

async function all(spool: EventSpool, after = spool.acked()): Promise<EventRecord[]> {
  const records: EventRecord[] = [];
  for (let last = after; ; last = Number(records.at(-1)?.seq)) {
    const more = await spool.read(last, 1_000);
    if (more.length === 0) return records;
    records.push(...more);
  }
}
const keyOf = ({ kind }: EventRecord) => (kind?.$case === 'detection' ? kind.value.alert?.key : kind?.$case);
const keys = async (spool: EventSpool) => (await all(spool)).map(keyOf);

describe('an event spool', () => {
  it('gives back what was committed, numbered from 1, in portions', async () => {
    const spool = await open(crashDisk());
    await note(spool, [detection('a'), detection('b')]);
    await note(spool, []);
    await note(spool, [detection('c')]);
    const records = await all(spool);
    expect(records.map(({ seq }) => seq)).toEqual([1n, 2n, 3n]);
    expect(records.map(keyOf)).toEqual(['a', 'b', 'c']);
    expect((await spool.read(0, 1)).map(keyOf)).toEqual(['a']);
    expect(spool.pendingRecords()).toBe(3);
  });

  it('does not read out what is not on disk yet', async () => {
    const disk = crashDisk();
    const spool = await open(disk);
    disk.fail.sync = 'input/output error';
    const committed = note(spool, [detection('a')]);
    await until(() => spool.fault() !== '');
    expect(await all(spool)).toEqual([]);
    expect(spool.fault()).toBe('event spool: input/output error');
    disk.fail.sync = undefined;
    await committed;
    expect(spool.fault()).toBe('');
    expect(await keys(spool)).toEqual(['a']);
  });

  it('goes on in the next process where it was, with the same name, numbers and state', async () => {
    const disk = crashDisk();
    const first = await open(disk);
    await note(first, [detection('a'), detection('b')], { position: 7, gone: 1 });
    await first.commit({ records: [], change: { set: { position: 8 }, removed: ['gone'] } }, false);
    first.acknowledged(1);
    await note(first, [], { last: true });
    const next = await open(disk.after(false, Math.random));
    expect(next.id).toBe(first.id);
    expect(next.restored()).toEqual({ state: { position: 8, last: true }, lost: 0 });
    expect(await keys(next)).toEqual(['b']);
    await note(next, [detection('c')]);
    expect((await all(next)).map(({ seq }) => seq)).toEqual([2n, 3n]);
  });

  it('takes on what the disk refused, once it does not', async () => {
    const disk = crashDisk();
    const spool = await open(disk);
    await note(spool, [detection('a')], { at: 1 });
    disk.fail.write = 'no space left on device';
    const [b, c] = [note(spool, [detection('b')], { at: 2 }), note(spool, [detection('c')], { at: 3 })];
    await until(() => spool.fault() === 'event spool: no space left on device');
    disk.fail.write = undefined;
    await Promise.all([b, c]);
    expect(await keys(spool)).toEqual(['a', 'b', 'c']);
    const next = await open(disk.after(false, Math.random));
    expect(await keys(next)).toEqual(['a', 'b', 'c']);
    expect(next.restored().state).toEqual({ at: 3 });
  });

  it('keeps no file whose records were all acknowledged, however long it runs', async () => {
    const disk = crashDisk();
    const spool = await open(disk, 10_000, 1_000);
    for (let i = 1; i <= 200; i += 1) {
      await note(spool, [detection(`${i}`)], { at: i });
      spool.acknowledged(i);
    }
    await note(spool, [], { at: 'end' });
    expect(disk.size()).toBeLessThan(3_000);
    expect(spool.pendingRecords()).toBe(0);
    expect((await open(disk.after(false, Math.random))).restored().state).toEqual({ at: 'end' });
  });

  it('never gives a number twice, also when its end was cut off', async () => {
    const disk = crashDisk();
    const first = await open(disk);
    await note(first, [detection('a')]);
    disk.dieAt = disk.operations + 1;
    void note(first, [detection('b'), detection('c')]);
    await disk.died;
    const next = await open(disk.after(false, Math.random));
    await note(next, [detection('d')]);
    const records = await all(next);
    expect(records.map(keyOf)).toEqual(['a', 'd']);
    expect(records[1]?.seq).toBeGreaterThan(3n);
  });

  it('that is damaged in the middle says how many records are gone, and goes on', async () => {
    const disk = crashDisk();
    const first = await open(disk, 100_000, 1_000);
    for (let i = 0; i < 20; i += 1) await note(first, [detection(`${i}`)], { at: i });
    const names = (await disk.list('/spool')).sort();
    disk.damage(`/spool/${names[1]}`, 500);
    const next = await open(disk.after(false, Math.random), 100_000, 1_000);
    const { lost, state } = next.restored();
    expect(state).toEqual({ at: 19 });
    expect(lost).toBeGreaterThan(0);
    expect((await all(next)).length).toBe(20 - lost);
    expect(next.id).toBe(first.id);
  });

  it('of a newer agent is not touched', async () => {
    const disk = crashDisk();
    await note(await open(disk), [detection('a')]);
    const [name] = await disk.list('/spool');
    const file = await disk.open(`/spool/${name}`);
    const { headerFrame, commitFrame } = await import('./frames.ts');
    const header = headerFrame({ version: 99, spool: 'x', first: 1, remnant: false });
    await file.write(Buffer.concat([header, commitFrame('{}')]), 0);
    await expect(open(disk)).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' });
  });
});

describe('an event spool that is full', () => {
  it('drops the oldest detections and says how often they fired, to the one; the newest stay', async () => {
    const disk = crashDisk();
    const spool = await open(disk, 20_000, 2_000);
    for (let i = 1; i <= 500; i += 1) await note(spool, [detection(`${i}`, 3)]);
    expect(disk.size()).toBeLessThan(24_000);
    const records = await all(spool);
    const gaps = records.filter(({ kind }) => kind?.$case === 'gap');
    expect(gaps).toHaveLength(1);
    expect(gaps[0]?.kind?.value).toMatchObject({ log: 'spool', reason: 'the spool is full' });
    const fired = records.reduce((sum, { kind }) => sum + (kind?.$case === 'detection' ? kind.value.count : 0), 0);
    const gone = gaps[0]?.kind?.$case === 'gap' ? gaps[0].kind.value.events : 0n;
    expect(BigInt(fired) + gone).toBe(1_500n);
    expect(keyOf(records.at(-1) ?? { seq: 0n, atUnixMs: 0n })).toBe('500');
    const seqs = records.map(({ seq }) => seq);
    expect(seqs).toEqual([...seqs].sort((a, b) => Number(a - b)));
    // And the next process finds the same.
    expect(await all(await open(disk.after(false, Math.random), 20_000, 2_000))).toEqual(records);
  });

  it('keeps the newest state of each instance, from where the server knows it, and all counts', async () => {
    const spool = await open(crashDisk(), 20_000, 2_000);
    await note(spool, [state('/', 1, 2), state('/var', 1, 3), state('/', 2, 3)]);
    const counts = [{ packName: 'demo', metric: 'm', count: 2n }];
    for (let i = 0; i < 3; i += 1) {
      await note(spool, [{ atUnixMs: 1n, kind: { $case: 'metricCounts', value: { counts } } }]);
    }
    for (let i = 1; i <= 500; i += 1) await note(spool, [detection(`${i}`)]);
    const records = await all(spool);
    const states = records.flatMap(({ kind }) => (kind?.$case === 'stateChange' ? [kind.value] : []));
    expect(states.map(({ instance, from, to }) => [instance, from, to])).toEqual([
      ['/var', 1, 3],
      ['/', 1, 3],
    ]);
    const counted = records.flatMap(({ kind }) => (kind?.$case === 'metricCounts' ? kind.value.counts : []));
    expect(counted).toEqual([{ packName: 'demo', metric: 'm', count: 6n }]);
    const gone = records.flatMap(({ kind }) => (kind?.$case === 'gap' ? [kind.value.events] : []));
    const fired = records.filter(({ kind }) => kind?.$case === 'detection').length;
    // One state was superseded.
    expect(gone).toEqual([BigInt(500 - fired + 1)]);
  });

  it('does not drop what was read: the server may have it', async () => {
    const spool = await open(crashDisk(), 20_000, 2_000);
    await note(spool, [detection('read'), detection('too')]);
    await spool.read(0, 1_000);
    for (let i = 1; i <= 500; i += 1) await note(spool, [detection(`${i}`)]);
    expect((await keys(spool)).slice(0, 3)).toEqual(['read', 'too', 'gap']);
  });

  it('keeps states only up to a share of its room, and counts the others', async () => {
    const spool = await open(crashDisk(), 20_000, 2_000);
    for (let i = 1; i <= 1_000; i += 1) await note(spool, [state(`/${i}`, 1, 2)]);
    const records = await all(spool);
    expect(spool.bytes()).toBeLessThan(24_000);
    const [gap] = records.flatMap(({ kind }) => (kind?.$case === 'gap' ? [kind.value.events] : []));
    expect(gap).toBe(BigInt(1_000 - (records.length - 1)));
  });
});
