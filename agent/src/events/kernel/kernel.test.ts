import { readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bootId } from '../../tasks/process/groups.ts';
import { SourceFault } from '../read/loop.ts';
import type { Position } from '../source.ts';
import { read, testDeps } from '../testing/scratch.ts';
import { testSink } from '../testing/sink.ts';
import { isKernelLogReadable, type KernelDevice, openKernelDevice } from './device.ts';
import { parseKernelRecord } from './record.ts';
import { createKernelSource, type KernelDeps } from './source.ts';

const BOOT = 1_700_000_000_000;

describe('a record of the kernel', () => {
  const parse = (text: string) => parseKernelRecord(text, BOOT)?.event;

  it('has a level, a time since the machine started, and what it says of devices', () => {
    const text = '3,547,16044559714,-;EXT4-fs (sda1): error\n SUBSYSTEM=block\n DEVICE=b8:1\n';
    expect(parse(text)).toEqual({
      log: 'kernel',
      source: 'kernel',
      id: '',
      level: 'error',
      atUnixMs: BOOT + 16_044_560,
      message: 'EXT4-fs (sda1): error',
      data: { seq: 547, subsystem: 'block', device: 'b8:1' },
    });
  });

  it('of a program has its name, and is told from one of the kernel', () => {
    expect(parse('30,1,0,-;systemd[1]: Started x.\n')).toMatchObject({
      source: 'systemd',
      level: 'info',
      message: 'Started x.',
      data: { facility: 3, pid: 1 },
    });
    expect(parse('6,1,0,-;usb: new device\n')).toMatchObject({ source: 'kernel', message: 'usb: new device' });
  });

  it('has the characters that were written', () => {
    expect(parse('6,1,0,-,caller=T1;two\\x0alines, w\\xc3\\xb6rld\n')).toMatchObject({ message: 'two\nlines, wörld' });
  });

  it('is nothing else, and nothing else fails', () => {
    fc.assert(fc.property(fc.string(), (text) => parse(text) === undefined || text.includes(';')));
    expect(parse('a line')).toBeUndefined();
  });
});

/** The kernel's ring of so many records; each that is open reads from the oldest on. */
function fakeKernel(size: number) {
  const ring: { seq: number; text: string }[] = [];
  let next = 0;
  return {
    write(message: string) {
      ring.push({ seq: next, text: `6,${next},1000,-;${message}\n` });
      next++;
      if (ring.length > size) ring.shift();
    },
    open(): KernelDevice {
      let at = ring[0]?.seq ?? 0;
      return {
        read() {
          const oldest = ring[0]?.seq ?? 0;
          if (at < oldest) {
            at = oldest;
            return 'overwritten';
          }
          const record = ring.find(({ seq }) => seq === at);
          if (record === undefined) return 'none';
          at++;
          return record.text;
        },
        close() {},
      };
    },
  };
}

/** The half second between two looks does not pass by itself. */
function source(open: () => KernelDevice, boot = 'boot-1', more: Partial<KernelDeps> = {}) {
  const clock = {
    ...testDeps.clock,
    after: (delayMs: number, run: () => void) => testDeps.clock.after(Math.min(delayMs, 5), run),
  };
  return createKernelSource({ ...testDeps, clock, open, bootId: async () => boot, bootUnixMs: () => BOOT, ...more });
}

async function readUntil(made: ReturnType<typeof source>, position: Position | undefined, last: string | undefined) {
  const sink = testSink();
  made.start(position, sink);
  await sink.until(() => (last === undefined ? sink.batches.length > 0 : sink.messages().includes(last)));
  await made.stop();
  return sink;
}

describe('the kernel’s log', () => {
  it('is read from now on at first, and then each record once, over restarts of the agent', async () => {
    const kernel = fakeKernel(1_000);
    for (let number = 0; number < 200; number++) kernel.write(`history ${number}`);
    const first = await readUntil(source(kernel.open), undefined, undefined);
    expect(first.events()).toEqual([]);
    kernel.write('a');
    kernel.write('b');
    const second = await readUntil(source(kernel.open), first.position(), 'b');
    kernel.write('c');
    const third = await readUntil(source(kernel.open), second.position(), 'c');
    expect([...second.messages(), ...third.messages()]).toEqual(['a', 'b', 'c']);
    expect([...first.gaps, ...second.gaps, ...third.gaps]).toEqual([]);
  });

  it('that went around while nobody read, or while one read, is known to the record', async () => {
    const kernel = fakeKernel(10);
    kernel.write('history');
    const first = await readUntil(source(kernel.open), undefined, undefined);
    for (let number = 0; number < 25; number++) kernel.write(`${number}`);
    const sink = read(source(kernel.open), first.position());
    await sink.untilEvents(10);
    expect(sink.gaps.map(({ events }) => events)).toEqual([15]);
    for (let number = 25; number < 47; number++) kernel.write(`${number}`);
    await sink.until(() => sink.messages().includes('46'));
    expect(sink.gaps.map(({ events }) => events)).toEqual([15, 12]);
    expect(sink.messages()).toEqual(
      [...Array(10).keys()].map((n) => `${n + 15}`).concat([...Array(10).keys()].map((n) => `${n + 37}`)),
    );
  });

  it('of a machine that was started anew is read from its beginning', async () => {
    const kernel = fakeKernel(10);
    for (let number = 0; number < 12; number++) kernel.write(`${number}`);
    const before = JSON.stringify({ boot: 'boot-0', seq: 5 });
    const sink = await readUntil(source(kernel.open), before, '11');
    expect(sink.messages()).toHaveLength(10);
    expect(sink.gaps.map(({ events }) => events)).toEqual([2]);
  });

  it('that may not be read is a fault that says what to do, until it may', async () => {
    const kernel = fakeKernel(10);
    let allowed = false;
    const open = () => {
      if (!allowed) throw new SourceFault('run it as root', { retryMs: 60_000 });
      return kernel.open();
    };
    const sink = read(source(open), JSON.stringify({ boot: 'boot-1', seq: -1 }));
    await sink.until(() => sink.faults.length > 0);
    allowed = true;
    kernel.write('a');
    await sink.untilEvents(1);
    expect(sink.faults).toEqual(['run it as root', '']);
  });

  it('that is no device is a fault', async () => {
    const sink = read(source(() => openKernelDevice('/nonexistent/kmsg')));
    await sink.until(() => sink.faults.length > 0);
    expect(sink.faults[0]).toContain('there is no kernel log here');
    expect(isKernelLogReadable('/nonexistent/kmsg')).toBe(false);
  });

  it.skipIf(!isKernelLogReadable() || process.getuid?.() !== 0)(
    'of this machine has what is written to it',
    async () => {
      const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
      const bootUnixMs = Date.now() - uptime * 1000;
      const made = createKernelSource({ ...testDeps, open: openKernelDevice, bootId, bootUnixMs: () => bootUnixMs });
      const sink = read(made);
      await sink.until(() => sink.batches.length > 0);
      const text = `a test of openline ${process.pid}`;
      writeFileSync('/dev/kmsg', `<11>openline-test[7]: ${text}\n`);
      await sink.until(() => sink.messages().includes(text));
      const event = sink.events().find(({ message }) => message === text);
      expect(event).toMatchObject({ source: 'openline-test', level: 'error', data: { facility: 1, pid: 7 } });
      expect(Math.abs((event?.atUnixMs ?? 0) - Date.now())).toBeLessThan(5_000);
    },
  );
});
