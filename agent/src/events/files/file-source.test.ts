import { execFileSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { toEventOf } from '../formats/format.ts';
import type { Position } from '../source.ts';
import { read, scratchDir, testDeps } from '../testing/scratch.ts';
import { type TestSink, testSink } from '../testing/sink.ts';
import { createFileSource, type FileSourceConfig } from './source.ts';

const source = (patterns: string | string[], more: Partial<FileSourceConfig> = {}) =>
  createFileSource(testDeps, {
    log: 'file:test',
    patterns: [patterns].flat(),
    encoding: 'utf-8',
    toEvent: toEventOf({ format: 'plain', source: undefined, fields: {} }),
    pollMs: 30,
    unfinishedMs: 60,
    lingerMs: 120,
    ...more,
  });

/** A log that is read, from its beginning on. */
async function reading(patterns: string | string[], more: Partial<FileSourceConfig> = {}, sink = testSink()) {
  read(source(patterns, more), undefined, sink);
  await sink.until(() => sink.batches.length > 0, 'the first look');
  return sink;
}

/** Reads until it holds, and is stopped. @returns what there is to remember */
async function readUntil(
  patterns: string | string[],
  position: Position | undefined,
  holds: (sink: TestSink) => boolean,
): Promise<TestSink> {
  const sink = testSink();
  const one = source(patterns);
  one.start(position, sink);
  await sink.until(() => holds(sink));
  await one.stop();
  return sink;
}

const inFiles = (sink: TestSink) => sink.events().map(({ log, message }) => `${log.replace(/.*\//, '')}: ${message}`);

/** Of this process. */
async function untilClosed(file: string): Promise<void> {
  const open = () => readdirSync('/proc/self/fd').map((fd) => readlinkOrNothing(`/proc/self/fd/${fd}`));
  await vi.waitFor(() => expect(open()).not.toContain(file), { timeout: 5_000, interval: 10 });
}

function readlinkOrNothing(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

describe('lines of a file', () => {
  it('are events from now on, each once, also over a restart of the agent', async () => {
    const log = join(scratchDir(), 'app.log');
    writeFileSync(log, 'history\n');
    const before = await readUntil(log, undefined, (sink) => sink.batches.length > 0);
    appendFileSync(log, 'one\ntwo\n');
    const first = await readUntil(log, before.position(), (sink) => sink.events().length === 2);
    expect(first.messages()).toEqual(['one', 'two']);
    appendFileSync(log, 'three\n');
    const sink = read(source(log), first.position());
    await sink.untilEvents(1);
    appendFileSync(log, 'four\n');
    await sink.untilEvents(2);
    expect(sink.messages()).toEqual(['three', 'four']);
  });

  it('come when the file comes, and until then it is said that there is none', async () => {
    const log = join(scratchDir(), 'later.log');
    const sink = await reading(log);
    expect(sink.faults).toEqual([`${log}: there is no such file yet`]);
    writeFileSync(log, 'one\n');
    await sink.untilEvents(1);
    await sink.until(() => sink.faults.at(-1) === '');
  });

  it('without an end are waited for, and taken after a time', async () => {
    const directory = scratchDir();
    const [log, other] = ['app.log', 'other.log'].map((name) => join(directory, name)) as [string, string];
    writeFileSync(log, 'half of hist');
    writeFileSync(other, '');
    const sink = await reading([log, other], { unfinishedMs: 200 });
    appendFileSync(log, 'ory\nwhole ');
    appendFileSync(other, 'both were looked at\n');
    await sink.untilEvents(2);
    appendFileSync(other, 'twice\n');
    await sink.untilEvents(3);
    appendFileSync(log, 'line\nno end');
    await sink.untilEvents(5);
    appendFileSync(log, '\nnext\n');
    await sink.untilEvents(6);
    const ofLog = sink.events().filter((event) => event.log === `file:${log}`);
    expect(ofLog.map(({ message }) => message)).toEqual(['half of history', 'whole line', 'no end', 'next']);
  });

  it('that are too long are cut and marked; the rest is no line, also after a restart within it', async () => {
    const log = join(scratchDir(), 'app.log');
    writeFileSync(log, '');
    const before = await readUntil(log, undefined, (sink) => sink.batches.length > 0);
    appendFileSync(log, 'x'.repeat(100_000));
    const first = await readUntil(log, before.position(), (sink) => sink.events().length === 1);
    expect(first.events()[0]).toMatchObject({ data: { truncated: true } });
    expect(first.events()[0]?.message).toHaveLength(16_384);
    appendFileSync(log, `${'x'.repeat(100_000)}\nnext\n`);
    const sink = read(source(log), first.position());
    await sink.untilEvents(1);
    expect(sink.messages()).toEqual(['next']);
  });

  it.each([
    ['utf-16le with a byte order mark', 'utf-8', Buffer.from('\ufeffgr\u00fc\u00df\u{1f600}\n\u0a0a\n', 'utf16le')],
    [
      'utf-16be with a byte order mark',
      'utf-8',
      Buffer.from('\ufeffgr\u00fc\u00df\u{1f600}\n\u0a0a\n', 'utf16le').swap16(),
    ],
    ['utf-16le as configured', 'utf-16le', Buffer.from('gr\u00fc\u00df\u{1f600}\n\u0a0a\n', 'utf16le')],
    ['utf-8 with a byte order mark', 'utf-8', Buffer.from('\ufeffgr\u00fc\u00df\u{1f600}\n\u0a0a\n')],
  ] as const)('are read in %s, and with a restart in between', async (_name, encoding, bytes) => {
    const log = join(scratchDir(), 'app.log');
    const first = testSink();
    const one = source(log, { encoding });
    one.start(undefined, first);
    await first.until(() => first.batches.length > 0);
    const half = bytes.length - 4;
    writeFileSync(log, bytes.subarray(0, half));
    await first.untilEvents(1);
    await one.stop();
    appendFileSync(log, bytes.subarray(half));
    const sink = read(source(log, { encoding }), first.position());
    await sink.untilEvents(1);
    expect([...first.messages(), ...sink.messages()]).toEqual(['gr\u00fc\u00df\u{1f600}', '\u0a0a']);
  });

  it('are read in latin1 as configured, and have U+FFFD for what is not UTF-8 otherwise', async () => {
    const directory = scratchDir();
    for (const encoding of ['latin1', 'utf-8'] as const) {
      const log = join(directory, encoding);
      const sink = await reading(log, { encoding });
      writeFileSync(log, Buffer.from([0xff, 0xfe, 0xfc, 0x0a]).subarray(encoding === 'latin1' ? 0 : 2));
      await sink.untilEvents(1);
      expect(sink.messages()).toEqual([encoding === 'latin1' ? '\u00ff\u00fe\u00fc' : '\ufffd']);
    }
  });
});

describe('a log that is rotated', () => {
  it('by renaming it is read on in both files, as its writer may not know yet', async () => {
    const directory = scratchDir();
    const log = join(directory, 'app.log');
    const writer = openSync(log, 'a');
    const sink = await reading(log);
    writeSync(writer, '1\n');
    renameSync(log, join(directory, 'app.log.1'));
    writeSync(writer, '2\n');
    writeFileSync(log, '3\n');
    await sink.untilEvents(3);
    writeSync(writer, '4\n');
    closeSync(writer);
    await sink.untilEvents(4);
    expect(inFiles(sink).sort()).toEqual(['app.log: 1', 'app.log: 2', 'app.log: 3', 'app.log: 4']);
  });

  it('by copying and emptying it loses nothing that was not read yet', async () => {
    const directory = scratchDir();
    const log = join(directory, 'app.log');
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let hold = false;
    const sink = await reading(
      log,
      {},
      testSink(() => (hold ? held : Promise.resolve())),
    );
    writeFileSync(log, 'a line that is read at once\n');
    await sink.untilEvents(1);
    hold = true;
    appendFileSync(log, 'a line that is on its way\n');
    // Only now is the file open somewhere behind its first lines, and the next ones are not read before they are in the copy only.
    await new Promise((resolve) => setImmediate(resolve));
    appendFileSync(log, 'a line that is in the copy\n');
    copyFileSync(log, join(directory, 'app.log.1'));
    truncateSync(log);
    appendFileSync(log, 'a new line\n');
    release();
    await sink.untilEvents(4);
    expect(sink.messages().map((message) => message.split(' ').at(-1))).toEqual(['once', 'way', 'copy', 'line']);
    expect(sink.gaps).toEqual([]);
  });

  it('by emptying alone is known to have lost something, when that was known to be there', async () => {
    const log = join(scratchDir(), 'app.log');
    const sink = await reading(log, { unfinishedMs: 60_000 });
    writeFileSync(log, 'one\nhalf a li');
    await sink.untilEvents(1);
    truncateSync(log);
    appendFileSync(log, '2\n');
    await sink.untilEvents(2);
    expect(sink.messages()).toEqual(['one', '2']);
    expect(sink.gaps).toEqual([{ events: 0, reason: `${log}: emptied before it was read to its end` }]);
  });

  it('several times while the agent is away is read whole, however it was done', async () => {
    const directory = scratchDir();
    const log = join(directory, 'app.log');
    const older = (number: number) => join(directory, `app.log.${number}`);
    writeFileSync(older(9), 'older than all that matters\n');
    // The file system dates files by ticks of 4 or 10 ms.
    for (const bornMs = Date.now(); Date.now() < bornMs + 30; );
    writeFileSync(log, '');
    const before = await readUntil(log, undefined, (sink) => sink.batches.length > 0);
    appendFileSync(log, 'a line that is read before\n');
    const first = await readUntil(log, before.position(), (sink) => sink.events().length === 1);
    appendFileSync(log, 'the rest of it\n');
    copyFileSync(log, older(1));
    truncateSync(log);
    appendFileSync(log, 'a second file\n');
    renameSync(log, older(2));
    appendFileSync(older(2), 'a late line\n');
    writeFileSync(log, 'a third file\n');
    renameSync(log, older(3));
    writeFileSync(log, 'a fourth file\n');
    const sink = read(source(log), first.position());
    await sink.untilEvents(5);
    expect(sink.messages()).toEqual([
      'the rest of it',
      'a second file',
      'a late line',
      'a third file',
      'a fourth file',
    ]);
    expect(sink.gaps).toEqual([]);
  });

  it('and removed while the agent is away is known to have lost something', async () => {
    const log = join(scratchDir(), 'app.log');
    writeFileSync(log, 'a line of history\n');
    const before = await readUntil(log, undefined, (sink) => sink.batches.length > 0);
    appendFileSync(log, 'not read\n');
    rmSync(log);
    writeFileSync(log, 'one of another file\n');
    const sink = read(source(log), before.position());
    await sink.untilEvents(1);
    expect(sink.messages()).toEqual(['one of another file']);
    expect(sink.gaps).toEqual([{ events: 0, reason: `${log}: gone while nobody read it` }]);
  });

  it('reads every line once, whatever is done to it, whenever the agent dies and however much it then forgets', async () => {
    const step = fc.oneof(
      {
        weight: 4,
        arbitrary: fc.record({ kind: fc.constant('write' as const), lines: fc.integer({ min: 1, max: 20 }) }),
      },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('half' as const) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('rename' as const) }) },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('copy' as const) }) },
      { weight: 1, arbitrary: fc.record({ kind: fc.constant('read' as const) }) },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant('die' as const), forgets: fc.integer({ min: 0, max: 3 }) }),
      },
      { weight: 2, arbitrary: fc.record({ kind: fc.constant('start' as const) }) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 25 }), async (steps) => {
        const directory = scratchDir();
        const log = join(directory, 'app.log');
        writeFileSync(log, '');
        const sink = testSink();
        const begun = (await readUntil(log, undefined, (one) => one.batches.length > 0)).position();
        let reader: ReturnType<typeof source> | undefined;
        let written = 0;
        let half = '';
        let files = 0;
        const line = () => `line ${written++} ${'of the log '.repeat(2)}`;
        const start = () => {
          if (reader !== undefined) return;
          reader = source(log, { unfinishedMs: 60_000, lingerMs: 60_000 });
          reader.start(sink.position() ?? begun, sink);
        };
        const finishHalf = (path: string) => {
          if (half !== '') appendFileSync(path, `${half.slice(10)}\n`);
          half = '';
        };
        const allRead = () => sink.until(() => sink.events().length >= written - (half === '' ? 0 : 1));
        for (const one of steps) {
          if (one.kind === 'write') {
            finishHalf(log);
            appendFileSync(log, Array.from({ length: one.lines }, () => `${line()}\n`).join(''));
          } else if (one.kind === 'half') {
            finishHalf(log);
            half = line();
            appendFileSync(log, half.slice(0, 10));
          } else if (one.kind === 'rename') {
            const to = `${log}.${++files}`;
            renameSync(log, to);
            writeFileSync(log, '');
            finishHalf(to);
          } else if (one.kind === 'copy') {
            finishHalf(log);
            // While it is read it must have been looked at since it was empty: nobody can know of a file that was never there when one looked.
            if (reader !== undefined) await allRead();
            copyFileSync(log, `${log}.${++files}`);
            truncateSync(log);
          } else if (one.kind === 'read') {
            if (reader !== undefined) await allRead();
          } else if (one.kind === 'die') {
            await reader?.stop();
            reader = undefined;
            if (one.forgets > 0) sink.batches.splice(-one.forgets);
          } else start();
        }
        start();
        finishHalf(log);
        await allRead();
        await reader?.stop();
        const numbers = sink.messages().map((message) => Number(message.split(' ')[1]));
        expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: written }, (_, number) => number));
      }),
      { numRuns: 60 },
    );
  }, 60_000);
});

describe('a symbolic link', () => {
  function linked() {
    const directory = scratchDir();
    const [a, b, link] = ['a.log', 'b.log', 'current'].map((name) => join(directory, name)) as [string, string, string];
    const point = (to: string) => {
      symlinkSync(to, `${link}.new`);
      renameSync(`${link}.new`, link);
    };
    writeFileSync(a, '');
    point(a);
    return { a, b, link, point };
  }

  it('that is pointed elsewhere while nobody reads is read to the end of the old file, and then there', async () => {
    const { a, b, link, point } = linked();
    appendFileSync(a, 'history\n');
    const before = await readUntil(link, undefined, (sink) => sink.batches.length > 0);
    appendFileSync(a, 'a1\n');
    point(b);
    writeFileSync(b, 'b1\n');
    const sink = await readUntil(link, before.position(), (now) => now.events().length === 2);
    expect(sink.messages()).toEqual(['a1', 'b1']);
    expect(sink.gaps).toEqual([]);
  });

  it('that is pointed elsewhere is read there, and what came to the old file meanwhile, too', async () => {
    const { a, b, link, point } = linked();
    const sink = await reading(link, { lingerMs: 60 });
    appendFileSync(a, 'a1\n');
    await sink.untilEvents(1);
    appendFileSync(a, 'a2\n');
    point(b);
    writeFileSync(b, 'b1\n');
    await sink.untilEvents(3);
    await untilClosed(a);
    // Back again, to lines that were read and one that was not.
    appendFileSync(a, 'a3\n');
    point(a);
    appendFileSync(b, 'b2\n');
    await sink.untilEvents(5);
    expect(sink.messages().sort()).toEqual(['a1', 'a2', 'a3', 'b1', 'b2']);
    expect(new Set(sink.events().map((event) => event.log))).toEqual(new Set([`file:${link}`]));
  });
});

describe('a pattern', () => {
  it('takes new files from their beginning, and says of each event in which file it was', async () => {
    const directory = scratchDir();
    writeFileSync(join(directory, 'old.log'), 'history\n');
    const sink = await reading(join(directory, '*.log'));
    writeFileSync(join(directory, 'new.log'), 'n1\n');
    appendFileSync(join(directory, 'old.log'), 'o1\n');
    writeFileSync(join(directory, 'other.txt'), 'no\n');
    await sink.untilEvents(2);
    writeFileSync(join(directory, 'later.log'), 'l1\n');
    await sink.untilEvents(3);
    expect(inFiles(sink).sort()).toEqual(['later.log: l1', 'new.log: n1', 'old.log: o1']);
  });

  it('that also fits the rotated files reads no line twice, neither of a renamed file nor of a copy', async () => {
    const directory = scratchDir();
    const log = join(directory, 'app.log');
    writeFileSync(log, '');
    const sink = await reading(join(directory, 'app.log*'));
    appendFileSync(log, 'a first line of this\n');
    await sink.untilEvents(1);
    renameSync(log, `${log}.1`);
    // A copy is known by its first 256 bytes.
    writeFileSync(log, `a second line of this ${'x'.repeat(256)}\n`);
    await sink.untilEvents(2);
    copyFileSync(log, `${log}.2`);
    writeFileSync(join(directory, 'app.log.a'), 'a third line, found together with the copy\n');
    await sink.untilEvents(3);
    appendFileSync(log, 'a fourth line of this\n');
    await sink.untilEvents(4);
    truncateSync(log);
    appendFileSync(log, 'a fifth line of this\n');
    await sink.untilEvents(5);
    writeFileSync(join(directory, 'app.log.b'), 'a sixth line\n');
    await sink.untilEvents(6);
    expect(sink.messages().map((message) => message.split(' ')[1])).toEqual([
      'first',
      'second',
      'third',
      'fourth',
      'fifth',
      'sixth',
    ]);
  });

  it('of more files than are read says so, and reads the others', async () => {
    const directory = scratchDir();
    for (let number = 0; number < 101; number++) writeFileSync(join(directory, `${1000 + number}.log`), '');
    const sink = await reading(join(directory, '*.log'));
    await sink.until(() => sink.faults.length > 0);
    expect(sink.faults[0]).toMatch(/^more than 100 files match/);
    appendFileSync(join(directory, '1099.log'), 'x\n');
    await sink.untilEvents(1);
  });

  it('leaves alone what is no file', async () => {
    const directory = scratchDir();
    mkdirSync(join(directory, 'a.log'));
    execFileSync('mkfifo', [join(directory, 'b.log')]);
    const sink = await reading(join(directory, '*.log'));
    writeFileSync(join(directory, 'c.log'), 'c1\n');
    await sink.untilEvents(1);
    expect(sink.faults).toEqual([]);
  });
});

describe('a file that is removed', () => {
  it('is read to its end, also what its writer adds', async () => {
    const log = join(scratchDir(), 'app.log');
    const writer = openSync(log, 'a');
    const sink = await reading(log);
    unlinkSync(log);
    writeSync(writer, 'after its end\nand without');
    await sink.untilEvents(2);
    closeSync(writer);
    expect(sink.messages()).toEqual(['after its end', 'and without']);
    await untilClosed(`${log} (deleted)`);
  });

  it('and whose number is another file’s by now is not taken for that one', async () => {
    const log = join(scratchDir(), 'app.log');
    writeFileSync(log, 'the first file of that number\n');
    const before = await readUntil(log, undefined, (sink) => sink.batches.length > 0);
    // The same inode with other bytes, and more of them.
    writeFileSync(log, 'quite another file of that number\nwith two lines\n');
    const sink = read(source(log), before.position());
    await sink.untilEvents(2);
    expect(sink.messages()).toEqual(['quite another file of that number', 'with two lines']);
  });
});
