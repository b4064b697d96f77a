import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OutputStream, TaskEnd } from '@openline/proto/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from './clock.ts';
import type { TaskEngine } from './engine.ts';
import {
  isAlive,
  offerOf,
  packTask,
  ping,
  ready,
  removeDir,
  STDERR,
  STDOUT,
  server,
  shell,
  startEngine,
  tasksOf,
  tempDir,
  until,
} from './testing/support.ts';

let dataDir: string;
let engine: TaskEngine | undefined;
let seen: ReturnType<typeof server>;

beforeEach(() => {
  dataDir = tempDir();
  seen = server();
});

afterEach(async () => {
  await engine?.stop('end of the test');
  engine = undefined;
  removeDir(dataDir);
});

async function start(...args: Parameters<typeof startEngine> extends [string, infer _S, ...infer R] ? R : never) {
  engine = await startEngine(dataDir, seen, ...args);
  engine.sessionOpened(256 * 1024);
  return engine;
}

describe('a task that is offered', () => {
  it('runs, and says accepted, started, its output and its result', async () => {
    const it = await start(tasksOf(shell('echo hello; echo oops >&2; pwd')));
    it.offer([offerOf('run-1')]);
    const result = await seen.result('run-1');
    expect(result).toMatchObject({ end: TaskEnd.TASK_END_SUCCEEDED, exitCode: 0, reasonCode: '' });
    await until(() => seen.output('run-1').length === Number(result.outputBytes));
    const workDir = join(dataDir, 'work', 'run-1');
    expect(seen.output('run-1', STDOUT)).toBe(`hello\n${workDir}\n`);
    expect(seen.output('run-1', STDERR)).toBe('oops\n');
    expect([seen.accepted('run-1'), seen.started('run-1')]).toEqual([1, 1]);
    await until(() => !existsSync(workDir));
  });

  it('that is a ping says everything in one message', async () => {
    const it = await start(tasksOf(ping));
    it.offer([offerOf('a', 'ping'), offerOf('b', 'ping')]);
    await seen.result('b');
    expect(seen.messages).toHaveLength(1);
    expect(seen.messages[0]?.accepted.map((a) => a.runId)).toEqual(['a', 'b']);
    expect(seen.messages[0]?.started).toHaveLength(2);
    expect(seen.messages[0]?.results).toHaveLength(2);
  });

  it('twice runs once, and its reports are said again', async () => {
    const it = await start(tasksOf(shell(`echo x >> ${dataDir}/marker; sleep 0.1`)));
    it.offer([offerOf('run-1'), offerOf('run-1')]);
    await until(() => seen.started('run-1') > 0);
    it.offer([offerOf('run-1')]);
    await seen.result('run-1');
    it.offer([offerOf('run-1')]);
    await until(() => seen.results('run-1').length === 2);
    it.resultsCommitted(['run-1']);
    it.offer([offerOf('run-1')]);
    await until(() => seen.results('run-1').length === 3);
    expect(seen.results('run-1')[2]).toMatchObject({ end: TaskEnd.TASK_END_LOST, reasonCode: 'RESULT_FORGOTTEN' });
    expect(readFileSync(join(dataDir, 'marker'), 'utf8')).toBe('x\n');
  });

  it.each([
    ['exits with 3', 'exit 3', { end: TaskEnd.TASK_END_FAILED, exitCode: 3, reasonCode: 'TASK_EXIT_CODE' }],
    ['exits with a code that means success', 'exit 7', { end: TaskEnd.TASK_END_SUCCEEDED, exitCode: 7 }],
    [
      'is ended by a signal',
      'kill -9 $$',
      { end: TaskEnd.TASK_END_FAILED, signal: 'SIGKILL', reasonCode: 'TASK_SIGNALLED' },
    ],
  ])('and %s ends as its exit status says', async (_title, script, expected) => {
    const it = await start(tasksOf(shell(script, { successCodes: [0, 7] })));
    it.offer([offerOf('run-1')]);
    expect(await seen.result('run-1')).toMatchObject(expected);
  });

  it('and whose program is not there fails with SPAWN_FAILED, never started', async () => {
    const it = await start(tasksOf(packTask('nope', { kind: 'command', program: 'no-such-program', args: [] })));
    it.offer([offerOf('run-1', 'nope')]);
    expect(await seen.result('run-1')).toMatchObject({ reasonCode: 'SPAWN_FAILED', startedUnixMs: 0n });
    expect(seen.started('run-1')).toBe(0);
  });

  it('runs a script with its interpreter', async () => {
    const script = packTask('script', { kind: 'script', interpreter: 'sh', source: '' });
    const { writeFileSync } = await import('node:fs');
    writeFileSync(join(dataDir, 'it.sh'), 'echo from a script');
    const it = await start({ lookup: () => ready(script, join(dataDir, 'it.sh')) });
    it.offer([offerOf('run-1')]);
    await seen.result('run-1');
    await until(() => seen.output('run-1') === 'from a script\n');
  });
});

describe('parameters', () => {
  it('arrive verbatim, whatever a shell would make of them', async () => {
    const nasty = `'"\`$(touch ${dataDir}/pwned)\n\\ ; ls && é`;
    const args = [
      { kind: 'literal', text: '%s' },
      { kind: 'parameter', name: 'text' },
    ] as const;
    const it = await start(
      tasksOf(
        packTask('argv', { kind: 'command', program: 'printf', args }),
        shell('printf %s "$OPENLINE_PARAM_TEXT"'),
      ),
    );
    const parametersJson = JSON.stringify({ text: nasty });
    it.offer([offerOf('argv', 'argv', { parametersJson }), offerOf('env', 'shell', { parametersJson })]);
    for (const runId of ['argv', 'env']) {
      await seen.result(runId);
      await until(() => Buffer.from(seen.output(runId), 'latin1').toString() === nasty);
    }
    expect(existsSync(join(dataDir, 'pwned'))).toBe(false);
  });

  it('that are of the target arrive verbatim, too: they are words of an environment and of an argv, never of a script', async () => {
    const nasty = `'"\`$(touch ${dataDir}/pwned)\n\\ ; ls && label:role é`;
    const args = [
      { kind: 'literal', text: '%s|%s' },
      { kind: 'parameter', name: 'text' },
      { kind: 'parameter', name: 'count' },
    ] as const;
    const parametersSchema = { properties: { text: { type: 'string' }, count: { type: 'integer' } } };
    const target = () => ({ name: 'web-1', labels: { nasty, size: '7', word: 'seven' }, facts: { os: 'linux' } });
    const it = await start(
      tasksOf(
        packTask('argv', { kind: 'command', program: 'printf', args }, { parametersSchema }),
        shell('printf "%s|%s" "$OPENLINE_PARAM_TEXT" "$OPENLINE_PARAM_COUNT"', { parametersSchema }),
      ),
      {},
      { target },
    );
    const parametersFrom = { text: 'label:nasty', count: 'label:size' };
    it.offer([offerOf('argv', 'argv', { parametersFrom }), offerOf('env', 'shell', { parametersFrom })]);
    for (const runId of ['argv', 'env']) {
      expect((await seen.result(runId)).parametersFrom).toEqual({ text: nasty, count: '7' });
      await until(() => Buffer.from(seen.output(runId), 'latin1').toString() === `${nasty}|7`);
    }
    expect(existsSync(join(dataDir, 'pwned'))).toBe(false);

    it.offer([
      offerOf('lacks', 'shell', { parametersFrom: { text: 'label:data-dir' } }),
      offerOf('word', 'shell', { parametersFrom: { count: 'label:word' } }),
      offerOf('newer', 'shell', { parametersFrom: { text: 'moon:phase' } }),
    ]);
    expect(await seen.result('lacks')).toMatchObject({
      end: TaskEnd.TASK_END_REJECTED,
      reasonCode: 'REQUIREMENTS_NOT_MET',
      reason: "this agent has no label data-dir, which parameter 'text' is to be",
    });
    expect(await seen.result('word')).toMatchObject({
      end: TaskEnd.TASK_END_REJECTED,
      reasonCode: 'PARAMETERS_INVALID',
      reason: "parameter 'count' must be a whole number",
    });
    expect(await seen.result('newer')).toMatchObject({ reasonCode: 'PARAMETERS_INVALID', startedUnixMs: 0n });
    expect((await seen.result('word')).parametersFrom).toEqual({});
  });

  it('that are of the target stay what they were when the task was taken, also over a restart', async () => {
    const target = (role: string) => ({ target: () => ({ name: 'web-1', labels: { role }, facts: {} }) });
    const parametersSchema = { properties: { role: { type: 'string' } } };
    const show = shell(`printf %s "$OPENLINE_PARAM_ROLE"; [ -e ${dataDir}/go ] || sleep 5`, { parametersSchema });
    const first = await start(tasksOf(show), { concurrency: 1 }, target('db'));
    const parametersFrom = { role: 'label:role' };
    first.offer([offerOf('a', 'shell', { parametersFrom }), offerOf('b', 'shell', { parametersFrom })]);
    await until(() => seen.output('a') === 'db' && seen.accepted('b') > 0);
    await first.stop('upgrade');
    writeFileSync(join(dataDir, 'go'), '');
    const second = await start(tasksOf(show), {}, target('web'));
    await seen.result('b');
    second.offer([offerOf('plain')]);
    expect((await seen.result('plain')).parametersFrom).toEqual({});
    expect((await seen.result('b')).parametersFrom).toEqual({ role: 'db' });
    await until(() => seen.output('b') === 'db');
    // Before it ended, too, and of a run that names none nothing.
    const started = seen.messages.flatMap((message) => message.started);
    expect(started.map(({ runId, parametersFrom }) => [runId, parametersFrom])).toEqual([
      ['a', { role: 'db' }],
      ['b', { role: 'db' }],
      ['plain', {}],
    ]);
  });

  it('of 1 MiB come in a file, and as an argument are refused', async () => {
    const args = [{ kind: 'parameter', name: 'text' }] as const;
    const it = await start(
      tasksOf(
        packTask('argv', { kind: 'command', program: 'echo', args }),
        shell('wc -c < "$OPENLINE_PARAM_TEXT_FILE"'),
      ),
    );
    const parametersJson = JSON.stringify({ text: 'x'.repeat(1024 * 1024) });
    it.offer([offerOf('argv', 'argv', { parametersJson }), offerOf('file', 'shell', { parametersJson })]);
    expect(await seen.result('argv')).toMatchObject({ reasonCode: 'ARGUMENT_TOO_LONG', startedUnixMs: 0n });
    await seen.result('file');
    await until(() => seen.output('file').trim() === '1048576');
  });

  it('with a NUL byte are refused', async () => {
    const it = await start(tasksOf(shell('true')));
    it.offer([offerOf('run-1', 'shell', { parametersJson: '{"text":"a\\u0000b"}' })]);
    expect(await seen.result('run-1')).toMatchObject({ reasonCode: 'PARAMETERS_INVALID', startedUnixMs: 0n });
  });

  it('are all that reaches the environment, beside a few words of ours', async () => {
    process.env['SECRET_OF_THE_AGENT'] = 'x';
    const it = await start(tasksOf(shell('env | cut -d= -f1 | sort | tr "\\n" " "')));
    it.offer([offerOf('run-1', 'shell', { parametersJson: '{"max-depth":2}' })]);
    await seen.result('run-1');
    await until(() => seen.output('run-1').length > 0);
    expect(
      seen
        .output('run-1')
        .split(' ')
        .filter((name) => !['PWD', '_', 'OLDPWD', 'SHLVL', ''].includes(name)),
    ).toEqual([
      'HOME',
      'LANG',
      'OPENLINE_AGENT_EVENTS_DIRECTORY',
      'OPENLINE_AGENT_NAME',
      'OPENLINE_HOST_PROC',
      'OPENLINE_HOST_ROOT',
      'OPENLINE_PARAM_MAX_DEPTH',
      'OPENLINE_RUN_ID',
      'OPENLINE_TASK',
      'OPENLINE_VIEW',
      'OPENLINE_WORK_DIR',
      'PATH',
    ]);
  });
});

describe('the queue', () => {
  it('runs as many as it may, says the place of the others, and refuses beyond its limit', async () => {
    const it = await start(tasksOf(shell('sleep 0.2')), { concurrency: 1, queueLimit: 2 });
    it.offer(['a', 'b', 'c', 'd'].map((id) => offerOf(id)));
    expect(await seen.result('d')).toMatchObject({ end: TaskEnd.TASK_END_REJECTED, reasonCode: 'QUEUE_FULL' });
    await until(() => seen.accepted('c') > 0);
    const places = seen.messages.flatMap((m) => m.accepted).map((a) => [a.runId, a.queuePosition]);
    expect(places).toEqual([
      ['a', 0],
      ['b', 1],
      ['c', 2],
    ]);
    expect(it.health()).toMatchObject({ running: 1, queued: 2, capacity: 1 });
    await seen.result('c');
    const startOrder = seen.messages.flatMap((m) => m.started).map((s) => s.runId);
    expect(startOrder).toEqual(['a', 'b', 'c']);
  });

  it('has the room that Hello names also while nothing can run: until a pack is here, all of it waits', async () => {
    const arrived = Promise.withResolvers<void>();
    let here = false;
    const it = await start(
      { lookup: () => (here ? ready(shell('true')) : { kind: 'pending', settled: arrived.promise }) },
      { concurrency: 2, queueLimit: 1 },
    );
    expect(it.room).toEqual({ capacity: 2, queueLimit: 1 });
    it.offer(['a', 'b', 'c', 'd'].map((id) => offerOf(id)));
    expect(await seen.result('d')).toMatchObject({ end: TaskEnd.TASK_END_REJECTED, reasonCode: 'QUEUE_FULL' });
    here = true;
    arrived.resolve();
    for (const id of ['a', 'b', 'c']) expect(await seen.result(id)).toMatchObject({ end: TaskEnd.TASK_END_SUCCEEDED });
  });

  it('answers a ping that waited for its pack as any other', async () => {
    const arrived = Promise.withResolvers<void>();
    let here = false;
    const it = await start({ lookup: () => (here ? ready(ping) : { kind: 'pending', settled: arrived.promise }) });
    it.offer([offerOf('a', 'ping')]);
    await until(() => seen.accepted('a') > 0);
    here = true;
    arrived.resolve();
    expect(await seen.result('a')).toMatchObject({ end: TaskEnd.TASK_END_SUCCEEDED, reasonCode: '' });
    expect(seen.started('a')).toBe(1);
  });

  it('lets nobody wait beyond its time to live', async () => {
    const it = await start(tasksOf(shell('sleep 0.5')), { concurrency: 1 });
    it.offer([offerOf('a'), offerOf('b', 'shell', { expiresInMs: 50n }), offerOf('c', 'shell', { expiresInMs: 0n })]);
    expect(await seen.result('c')).toMatchObject({ end: TaskEnd.TASK_END_EXPIRED });
    expect(await seen.result('b')).toMatchObject({
      end: TaskEnd.TASK_END_EXPIRED,
      reasonCode: 'TTL_EXPIRED',
      startedUnixMs: 0n,
    });
    expect(seen.results('a')).toEqual([]);
  });

  it('gives up a cancelled place at once', async () => {
    const it = await start(tasksOf(shell('sleep 0.5')), { concurrency: 1 });
    it.offer([offerOf('a'), offerOf('b')]);
    await until(() => seen.accepted('b') > 0);
    it.cancel(['b', 'unknown'], 'by ann');
    expect(await seen.result('b', 200)).toMatchObject({ end: TaskEnd.TASK_END_CANCELLED, reason: 'by ann' });
  });

  it('is not held up by a task whose pack is still being fetched', async () => {
    let arrive = () => {};
    let here = false;
    const settled = new Promise<void>((resolve) => {
      arrive = () => {
        here = true;
        resolve();
      };
    });
    const it = await start(
      { lookup: (_digest, name) => (name === 'shell' || here ? ready(shell('true')) : { kind: 'pending', settled }) },
      { concurrency: 1 },
    );
    it.offer([offerOf('late', 'later'), offerOf('now')]);
    await seen.result('now');
    expect(seen.accepted('late')).toBe(1);
    expect(seen.started('late')).toBe(0);
    arrive();
    expect(await seen.result('late')).toMatchObject({ end: TaskEnd.TASK_END_SUCCEEDED });
  });
});

describe('what the machine does not let run', () => {
  it.each([
    ['outside tasks.allow', { allow: ['linux/*', 'test/disk-*'] }, 'TASK_DENIED'],
    ['above tasks.maxRisk', { maxRisk: 'read' as const }, 'TASK_DENIED'],
  ])('%s is rejected', async (_title, config, code) => {
    const it = await start(tasksOf(shell('true', { risk: 'change' })), config);
    it.offer([offerOf('run-1')]);
    expect(await seen.result('run-1')).toMatchObject({ end: TaskEnd.TASK_END_REJECTED, reasonCode: code });
    expect(seen.accepted('run-1')).toBe(0);
  });

  it('without its interpreter, or unknown, is rejected', async () => {
    const python = packTask('python', { kind: 'script', interpreter: 'python3', source: '' });
    const it = await start(tasksOf(python));
    it.offer([offerOf('a', 'python'), offerOf('b', 'nope')]);
    expect(await seen.result('a')).toMatchObject({ reasonCode: 'REQUIREMENTS_NOT_MET' });
    expect(await seen.result('b')).toMatchObject({ reasonCode: 'TASK_UNKNOWN' });
  });

  it('under an id that would name a file elsewhere is rejected', async () => {
    const it = await start(tasksOf(shell('true')));
    it.offer([offerOf('../../etc/passwd')]);
    expect(await seen.result('../../etc/passwd')).toMatchObject({ reasonCode: 'PROTOCOL_VIOLATION' });
  });
});

describe('stopping a task', () => {
  const stubborn = shell('trap "" TERM; echo up; while :; do sleep 0.05; done');

  it('that ignores TERM takes KILL after the grace', async () => {
    const it = await start(tasksOf(stubborn));
    it.offer([offerOf('run-1')]);
    // Not by a timeout, which on a busy machine ends the shell before it has set its trap.
    await until(() => seen.output('run-1') === 'up\n');
    it.cancel(['run-1'], 'cancelled by ann');
    expect(await seen.result('run-1')).toMatchObject({ end: TaskEnd.TASK_END_CANCELLED, signal: 'SIGKILL' });
  });

  it('gives what the task runs as long to end as the task itself, and asks it once', async () => {
    const cleansUp = "trap 'echo asked' TERM; echo up; for i in $(seq 40); do sleep 0.05; done; echo cleaned";
    // The shell around it ends at once.
    const it = await start(tasksOf(shell(`(${cleansUp}) & wait`)), { killGraceMs: 20_000 });
    it.offer([offerOf('run-1')]);
    await until(() => seen.output('run-1') === 'up\n');
    it.cancel(['run-1'], 'cancelled by ann');
    expect(await seen.result('run-1')).toMatchObject({ end: TaskEnd.TASK_END_CANCELLED, signal: 'SIGTERM' });
    await until(() => seen.output('run-1', STDOUT) === 'up\nasked\ncleaned\n');
  });

  it('that takes too long is stopped, and says so', async () => {
    const it = await start(tasksOf(shell('while :; do sleep 0.05; done')));
    it.offer([offerOf('run-1', 'shell', { timeoutMs: 100 })]);
    expect(await seen.result('run-1')).toMatchObject({
      end: TaskEnd.TASK_END_TIMED_OUT,
      reasonCode: 'TASK_TIMED_OUT',
      signal: 'SIGTERM',
    });
  });

  it('that is cancelled before it comes never starts: a cancel may overtake its task', async () => {
    const it = await start(tasksOf(shell(`echo x > ${dataDir}/marker`)));
    it.cancel(['run-1'], 'cancelled by ann');
    expect(await seen.result('run-1')).toMatchObject({ end: TaskEnd.TASK_END_CANCELLED, reasonCode: 'TASK_CANCELLED' });
    it.offer([offerOf('run-1'), offerOf('run-2')]);
    await seen.result('run-2');
    expect([seen.started('run-1'), seen.started('run-2')]).toEqual([0, 1]);
  });

  it('that is cancelled says so, also when it then exits with 0', async () => {
    const it = await start(tasksOf(shell('trap "exit 0" TERM; echo up; while :; do sleep 0.05; done')));
    it.offer([offerOf('run-1')]);
    await until(() => seen.output('run-1') === 'up\n');
    it.cancel(['run-1'], 'cancelled by ann');
    expect(await seen.result('run-1')).toMatchObject({
      end: TaskEnd.TASK_END_CANCELLED,
      reason: 'cancelled by ann',
      exitCode: 0,
    });
  });

  it('by stopping the agent says that, and leaves what waits for the next start', async () => {
    const it = await start(tasksOf(shell(`echo x >> ${dataDir}/marker; sleep 5`)), { concurrency: 1 });
    it.offer([offerOf('a'), offerOf('b')]);
    await until(() => existsSync(join(dataDir, 'marker')) && seen.accepted('b') > 0);
    await it.stop('upgrade');
    engine = undefined;
    expect(seen.results('a')[0]).toMatchObject({ end: TaskEnd.TASK_END_FAILED, reasonCode: 'AGENT_STOPPED' });
    expect(seen.results('b')).toEqual([]);
    const again = await start(tasksOf(shell('true')));
    expect(again.journalId).toBe(it.journalId);
    expect(again.openRunIds().sort()).toEqual(['a', 'b']);
    expect(await seen.result('b')).toMatchObject({ end: TaskEnd.TASK_END_SUCCEEDED });
  });

  it('that forks and outlives its parent leaves nothing behind and does not hold the result back', async () => {
    const it = await start(tasksOf(shell('(trap "" TERM; sleep 30; echo never) & echo $!; exit 0')));
    it.offer([offerOf('run-1')]);
    const result = await seen.result('run-1', 4_000);
    expect(result).toMatchObject({ end: TaskEnd.TASK_END_SUCCEEDED, exitCode: 0 });
    await until(() => seen.output('run-1').length > 0);
    expect(isAlive(Number(seen.output('run-1')))).toBe(false);
  });

  it('whose descendant went to another session and holds the pipes ends within seconds, and its output says so', async () => {
    const leave = `setsid sh -c 'echo $$ >left; exec sleep 20' & until [ -s left ]; do sleep 0.05; done; cat left`;
    const it = await start(tasksOf(shell(leave)));
    it.offer([offerOf('run-1')]);
    const { end, outputBytes } = await seen.result('run-1', 9_000);
    expect(end).toBe(TaskEnd.TASK_END_SUCCEEDED);
    await until(() => BigInt(seen.output('run-1').length) === outputBytes);
    process.kill(Number.parseInt(seen.output('run-1', OutputStream.OUTPUT_STREAM_STDOUT), 10), 'SIGKILL');
    expect(seen.output('run-1', OutputStream.OUTPUT_STREAM_STDERR)).toMatch(
      /^\n\[openline: output may be incomplete: .*\]\n$/,
    );
  });
});

describe('progress lines', () => {
  it('become progress, and the rest stays output', async () => {
    const it = await start(
      tasksOf(shell('echo a; echo "::progress 10% one"; sleep 0.3; echo "::progress 100% all"; echo b; sleep 0.3')),
    );
    it.offer([offerOf('run-1')]);
    await seen.result('run-1');
    await until(() => seen.output('run-1') === 'a\nb\n');
    expect(seen.progress('run-1')).toEqual([
      { runId: 'run-1', percent: 10, note: 'one' },
      { runId: 'run-1', percent: 100, note: 'all' },
    ]);
  });
});

describe('the built-in event', () => {
  it('is a line in the event log, printed as output', async () => {
    const it = await start(tasksOf(packTask('event', { kind: 'builtin', name: 'event' })));
    const parametersJson = JSON.stringify({
      id: 'e1',
      source: 'test',
      level: 'error',
      message: 'disk "full"',
      data: { a: 1 },
    });
    it.offer([offerOf('run-1', 'event', { parametersJson })]);
    const result = await seen.result('run-1');
    expect(result).toMatchObject({ end: TaskEnd.TASK_END_SUCCEEDED, exitCode: undefined });
    await until(() => seen.output('run-1').length > 0);
    const line = readFileSync(join(dataDir, 'events', '0000000000000001.jsonl'), 'utf8').trim();
    expect(JSON.parse(line)).toMatchObject({
      id: 'e1',
      source: 'test',
      level: 'error',
      message: 'disk "full"',
      data: { a: 1 },
    });
    expect(seen.output('run-1')).toBe(`${line}\n`);
  });
});

describe('a result', () => {
  it('is said again in every session until it is committed, then forgotten on disk too', async () => {
    const it = await start(tasksOf(shell('echo out')));
    it.sessionClosed();
    seen.taking = false;
    it.offer([offerOf('run-1')]);
    await until(() => it.health().spooledResults === 1);
    expect(it.openRunIds()).toEqual(['run-1']);
    seen.taking = true;
    it.sessionOpened(1_000_000);
    it.sessionClosed();
    it.sessionOpened(1_000_000);
    await until(() => seen.results('run-1').length >= 1 && seen.output('run-1') === 'out\n');
    it.resultsCommitted(['run-1']);
    expect(it.openRunIds()).toEqual([]);
    expect(readdirSync(join(dataDir, 'spool'))).toEqual(['run-1']);
    it.outputCommitted('run-1', 4);
    await until(() => readdirSync(join(dataDir, 'spool')).length === 0);
    expect(it.health()).toMatchObject({ spooledResults: 0, spooledOutputBytes: 0n, fault: '' });
  });
});

describe('a wall clock that is set by an hour', () => {
  it.each([3_600_000, -3_600_000])('(%i ms) ends nothing early and nothing late', async (jumpMs) => {
    let offsetMs = 0;
    const clock = { ...systemClock, unixMs: () => Date.now() + offsetMs };
    const it = await start(tasksOf(shell('sleep 0.3')), { concurrency: 1 }, { clock });
    it.offer([offerOf('a'), offerOf('b', 'shell', { timeoutMs: 100 }), offerOf('c', 'shell', { expiresInMs: 100n })]);
    await until(() => seen.started('a') > 0);
    offsetMs = jumpMs;
    expect(await seen.result('c', 250)).toMatchObject({ end: TaskEnd.TASK_END_EXPIRED });
    expect(await seen.result('a')).toMatchObject({ end: TaskEnd.TASK_END_SUCCEEDED });
    expect(await seen.result('b')).toMatchObject({ end: TaskEnd.TASK_END_TIMED_OUT });
    expect(it.health().executorCheckedMsAgo).toBeLessThan(5_000);
  });
});
