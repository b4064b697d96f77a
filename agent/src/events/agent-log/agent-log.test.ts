import { spawn } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { read, scratchDir, testDeps } from '../testing/scratch.ts';
import { testSink } from '../testing/sink.ts';
import type { NewEvent } from './record.ts';
import { createAgentLogSource } from './source.ts';
import { createEventLog, type EventLogConfig } from './writer.ts';

const event = (message: string, more: Partial<NewEvent> = {}): NewEvent => ({
  source: 'test',
  id: '',
  level: 'info',
  message,
  data: {},
  ...more,
});

const logIn = (directory: string, more: Partial<EventLogConfig> = {}) =>
  createEventLog({ directory, segmentBytes: 1_000, segments: 1_000, ...more });

const source = (directory: string) => createAgentLogSource(testDeps, { directory, pollMs: 50 });

const messages = (name: string, count: number) => Array.from({ length: count }, (_, number) => `${name} ${number}`);

/** What all open files share. */
async function fileHandlePrototype() {
  const handle = await open(import.meta.filename, 'r');
  await handle.close();
  return Object.getPrototypeOf(handle);
}

/** From the first record on. */
const BEGINNING = JSON.stringify({
  first: 1,
  offset: 0,
  skipping: false,
  record: 1,
  fingerprint: { bytes: 0, hash: '' },
});

describe('an event that was written', () => {
  it('is read as it was written', async () => {
    const directory = scratchDir();
    const sink = read(source(directory));
    await sink.until(() => sink.batches.length > 0);
    const given = event('disk "full"\nreally', { source: 'df', id: '4711', level: 'error', data: { a: { b: [1] } } });
    const [logged] = await createEventLog({ directory }, { unixMs: () => 1_700_000_000_123 }).append([given]);
    await sink.untilEvents(1);
    expect(sink.events()).toEqual([{ log: 'agent', atUnixMs: 1_700_000_000_123, ...given }]);
    expect(logged).toMatchObject({ at: '2023-11-14T22:13:20.123Z', ...given });
  });

  it('is on disk before its writer hears so, and shares a sync with those that came meanwhile', async () => {
    const directory = scratchDir();
    const order: string[] = [];
    const prototype = await fileHandlePrototype();
    const spy = vi.spyOn(prototype, 'datasync').mockImplementation(async () => void order.push('sync'));
    onTestFinished(() => spy.mockRestore());
    const log = logIn(directory, { segmentBytes: 10_000 });
    const first = log.append([event('1')]).then(() => order.push('first'));
    const others = Promise.all([log.append([event('2')]), log.append([event('3')])]).then(() => order.push('others'));
    await Promise.all([first, others]);
    expect(order).toEqual(['sync', 'first', 'sync', 'others']);
  });

  it('has an id of its own', async () => {
    const log = logIn(scratchDir());
    const written = await Promise.all(messages('a', 100).map((message) => log.append([event(message)])));
    expect(new Set(written.flat().map(({ uid }) => uid)).size).toBe(100);
  });

  it('is refused when it is too large, and the others are written', async () => {
    const directory = scratchDir();
    const sink = read(source(directory), BEGINNING);
    const log = logIn(directory);
    const refused = (given: NewEvent) =>
      expect(log.append([given])).rejects.toMatchObject({ code: 'EVENT_LOG_FAILED' });
    await Promise.all([
      refused(event('x'.repeat(20_000))),
      refused(event('a', { data: { x: 'y'.repeat(60_000) } })),
      refused(event('a', { source: 'two\nlines' })),
      log.append([event('é'.repeat(16_384))]),
    ]);
    await sink.untilEvents(1);
    expect(sink.messages()).toEqual(['é'.repeat(16_384)]);
  });
});

describe('the first look at the log', () => {
  it('is from now on, also when the agent dies before it has seen an event', async () => {
    const directory = scratchDir();
    await logIn(directory).append([event('history')]);
    const first = source(directory);
    const sink = testSink();
    first.start(undefined, sink);
    await sink.until(() => sink.position() !== undefined);
    await first.stop();
    await logIn(directory).append([event('while it was away')]);
    const again = read(source(directory), sink.position());
    await again.untilEvents(1);
    expect(again.messages()).toEqual(['while it was away']);
  });
});

describe('many programs that write at once', () => {
  const program = join(import.meta.dirname, '../testing/log-writer-process.ts');

  /** @returns what it was told to be on disk, and its end */
  function start(directory: string, name: string, count: number) {
    const child = spawn(process.execPath, [program, directory, '1000', name, String(count)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const said: string[] = [];
    const lines = createInterface(child.stdout);
    lines.on('line', (line) => said.push(`${name} ${line}`));
    return { child, said, lines, end: new Promise<void>((resolve) => lines.once('close', resolve)) };
  }

  it('lose nothing and repeat nothing, though each of them ends files and begins new ones', async () => {
    const directory = scratchDir();
    const sink = read(source(directory), BEGINNING);
    const writers = ['a', 'b', 'c'].map((name) => start(directory, name, 150));
    await Promise.all(writers.map(({ end }) => end));
    await sink.untilEvents(450);
    for (const name of ['a', 'b', 'c'])
      expect(sink.messages().filter((message) => message.startsWith(name))).toEqual(messages(name, 150));
    expect(readdirSync(directory).length).toBeGreaterThan(30);
    expect(sink.gaps).toEqual([]);
  });

  it('and die of kill -9 leave every event that they were told to be on disk, once', async () => {
    const directory = scratchDir();
    const sink = read(source(directory), BEGINNING);
    const writers = ['a', 'b'].map((name) => start(directory, name, 100_000));
    for (const { lines, child, said } of writers) lines.on('line', () => said.length === 100 && child.kill('SIGKILL'));
    await Promise.all(writers.map(({ end }) => end));
    await logIn(directory).append([event('last')]);
    await sink.until(() => sink.messages().includes('last'));
    for (const { said } of writers) expect(sink.messages()).toEqual(expect.arrayContaining(said));
    expect(new Set(sink.messages()).size).toBe(sink.messages().length);
  });

  it('lose nothing when one of them is stopped between finding its file and writing to it', async () => {
    const directory = scratchDir();
    const sink = read(source(directory), BEGINNING);
    const prototype = await fileHandlePrototype();
    await logIn(directory).append([event('1')]);
    const write = prototype.write;
    let held = false;
    const spy = vi.spyOn(prototype, 'write').mockImplementation(async function (this: unknown, ...args: unknown[]) {
      if (!held) {
        held = true;
        // Meanwhile another fills this file, ends it, and begins the next.
        await logIn(directory).append(messages('x', 20).map((message) => event(message)));
        await logIn(directory).append([event('2')]);
      }
      return write.apply(this, args);
    });
    onTestFinished(() => spy.mockRestore());
    await logIn(directory).append([event('late')]);
    await sink.until(() => sink.messages().includes('late'));
    expect(sink.messages()).toEqual(['1', ...messages('x', 20), '2', 'late']);
    expect(readdirSync(directory)).toHaveLength(2);
  });
});

describe('a reader', () => {
  it('reads every event once, whenever it dies and however little of what it read was remembered', async () => {
    const step = fc.oneof(
      fc.record({ kind: fc.constant('write' as const), count: fc.integer({ min: 1, max: 30 }) }),
      fc.record({ kind: fc.constant('crash' as const), forgotten: fc.integer({ min: 0, max: 3 }) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
        const directory = scratchDir();
        const log = logIn(directory, { segmentBytes: 500 });
        const sink = testSink();
        let written = 0;
        let reader = source(directory);
        reader.start(BEGINNING, sink);
        for (const one of steps) {
          if (one.kind === 'write') {
            const batch = Array.from({ length: one.count }, () => event(`e ${written++}`));
            await log.append(batch);
            continue;
          }
          await reader.stop();
          sink.batches.splice(Math.max(0, sink.batches.length - one.forgotten));
          reader = source(directory);
          reader.start(sink.position() ?? BEGINNING, sink);
        }
        await sink.until(() => sink.events().length >= written);
        await reader.stop();
        expect(sink.messages()).toEqual(messages('e', written));
        expect(sink.gaps).toEqual([]);
      }),
      { numRuns: 25 },
    );
  });

  it('that was away for too long knows to the event what it missed', async () => {
    const directory = scratchDir();
    const sink = testSink();
    const first = source(directory);
    first.start(BEGINNING, sink);
    const log = logIn(directory, { segments: 3 });
    await log.append([event('seen')]);
    await sink.untilEvents(1);
    appendFileSync(join(directory, '0000000000000001.jsonl'), 'no event, but a line that counts\n');
    await sink.until(() => sink.batches.length === 2);
    await first.stop();
    for (let batch = 0; batch < 100; batch++)
      await log.append(messages(`${batch}`, 2).map((message) => event(message)));
    const again = read(source(directory), sink.position());
    await again.until(() => again.messages().includes('99 1'));
    expect(readdirSync(directory)).toHaveLength(3);
    const lost = again.gaps.reduce((sum, gap) => sum + gap.events, 0);
    expect(lost).toBeGreaterThan(100);
    expect(lost + again.events().length).toBe(200);
  });

  it('finishes the file that it reads also when it is removed meanwhile', async () => {
    const directory = scratchDir();
    const log = logIn(directory, { segments: 1 });
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const sink = read(
      source(directory),
      BEGINNING,
      testSink(() => held),
    );
    // More than is read at once.
    await log.append(messages('big', 600).map((message) => event(`${message} ${'x'.repeat(200)}`)));
    await log.append([event('next')]);
    expect(readdirSync(directory)).toHaveLength(1);
    release();
    await sink.untilEvents(601);
    expect(sink.messages().at(-1)).toBe('next');
    expect(sink.gaps).toEqual([]);
  });

  it('starts anew, and says so, when somebody puts another log in its place', async () => {
    const directory = join(scratchDir(), 'events');
    const sink = testSink();
    const first = source(directory);
    first.start(BEGINNING, sink);
    mkdirSync(directory);
    await logIn(directory).append([event('old')]);
    await sink.untilEvents(1);
    await first.stop();
    rmSync(directory, { recursive: true });
    mkdirSync(directory);
    await logIn(directory).append([event('new')]);
    const again = read(source(directory), sink.position());
    await again.untilEvents(1);
    expect(again.messages()).toEqual(['new']);
    expect(again.gaps).toEqual([{ events: 0, reason: 'the log was replaced' }]);
  });

  it('notices that the log is removed while it reads, and reads the one that is begun then', async () => {
    const directory = join(scratchDir(), 'events');
    mkdirSync(directory);
    const sink = read(source(directory), BEGINNING);
    await logIn(directory).append([event('old')]);
    await sink.untilEvents(1);
    rmSync(directory, { recursive: true });
    await logIn(directory).append([event('new')]);
    await sink.untilEvents(2);
    expect(sink.messages()).toEqual(['old', 'new']);
  });

  it('reads the rest of a file that was ended while it looked whether it was', async () => {
    const directory = scratchDir();
    await logIn(directory).append([event('1')]);
    const [path, next] = [1, 3].map((first) => join(directory, `000000000000000${first}.jsonl`));
    const record = readFileSync(path ?? '', 'utf8');
    const prototype = await fileHandlePrototype();
    const read0 = prototype.read;
    let atEnd = false;
    const spy = vi.spyOn(prototype, 'read').mockImplementation(async function (this: unknown, ...args: unknown[]) {
      const result = await read0.apply(this, args);
      // Not the look for more behind what was read.
      if (result.bytesRead === 0 && args[1] === 0 && !atEnd) {
        atEnd = true;
        appendFileSync(path ?? '', `${record.replace('"1"', '"2"')}\n{"sealed":1}\n`);
        writeFileSync(next ?? '', record.replace('"1"', '"3"'));
      }
      return result;
    });
    onTestFinished(() => spy.mockRestore());
    const sink = read(source(directory), BEGINNING);
    await sink.until(() => sink.messages().includes('3'));
    expect(sink.messages()).toEqual(['1', '2', '3']);
  });

  it('goes on with the next file when the seal of the last one did not come to disk', async () => {
    const directory = scratchDir();
    await logIn(directory).append([event('1')]);
    const sink = read(source(directory), BEGINNING);
    await sink.untilEvents(1);
    writeFileSync(join(directory, '0000000000000002.jsonl'), '');
    await logIn(directory).append([event('2')]);
    await sink.untilEvents(2);
    expect(sink.messages()).toEqual(['1', '2']);
  });

  it('takes what is no event as lost, and goes on', async () => {
    const directory = scratchDir();
    const sink = read(source(directory), BEGINNING);
    await logIn(directory).append([event('1')]);
    const file = join(directory, '0000000000000001.jsonl');
    // A writer that died in the middle of its line, somebody's echo, and a line that does not end.
    appendFileSync(file, '\n{"uid":"x","at":"2024-01-');
    await logIn(directory).append([event('2')]);
    appendFileSync(file, `hello\n{"message":"no more"}\n${'z'.repeat(200_000)}`);
    await logIn(directory, { segmentBytes: 10_000_000 }).append([event('3')]);
    await sink.untilEvents(3);
    expect(sink.messages()).toEqual(['1', '2', '3']);
    expect(sink.gaps.reduce((sum, gap) => sum + gap.events, 0)).toBe(4);
  });

  it('says what is wrong with a directory that it may not read, and reads on when it may', async () => {
    const directory = scratchDir();
    await logIn(directory).append([event('1')]);
    const file = join(directory, '0000000000000001.jsonl');
    const elsewhere = join(scratchDir(), 'secret');
    renameSync(file, elsewhere);
    symlinkSync(elsewhere, file);
    const sink = read(source(directory), BEGINNING);
    await sink.until(() => sink.faults.length > 0);
    expect(sink.faults[0]).toContain('ELOOP');
    rmSync(file);
    renameSync(elsewhere, file);
    await sink.untilEvents(1);
    expect(sink.faults.at(-1)).toBe('');
  });
});

describe('the files of the log', () => {
  it('are for nobody else, unless the directory is, whatever the umask of who begins them', async () => {
    const before = process.umask(0o077);
    onTestFinished(() => void process.umask(before));
    const own = join(scratchDir(), 'events');
    await logIn(own).append([event('1')]);
    const mode = (path: string) => statSync(path).mode & 0o777;
    expect([mode(own), mode(join(own, '0000000000000001.jsonl'))]).toEqual([0o700, 0o600]);
    const shared = scratchDir();
    chmodSync(shared, 0o2770);
    await logIn(shared).append([event('1')]);
    expect(mode(join(shared, '0000000000000001.jsonl'))).toBe(0o660);
  });

  it('are never written through a link that somebody put there', async () => {
    const directory = scratchDir();
    const victim = join(scratchDir(), 'authorized_keys');
    writeFileSync(victim, 'mine\n');
    symlinkSync(victim, join(directory, '0000000000000001.jsonl'));
    await expect(logIn(directory).append([event('1')])).rejects.toMatchObject({ code: 'EVENT_LOG_FAILED' });
    expect(statSync(victim).size).toBe(5);
  });
});
