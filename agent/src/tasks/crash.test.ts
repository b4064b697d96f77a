import { type ChildProcess, spawn } from 'node:child_process';
import { appendFileSync, existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { TaskEnd } from '@openline/proto/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TaskEngine } from './engine.ts';
import { isAlive, offerOf, removeDir, server, shell, startEngine, tasksOf, tempDir, until } from './testing/support.ts';

let dataDir: string;
let engine: TaskEngine | undefined;
let child: ChildProcess | undefined;
let seen: ReturnType<typeof server>;

beforeEach(() => {
  dataDir = tempDir();
  seen = server();
});

afterEach(async () => {
  child?.kill('SIGKILL');
  await engine?.stop('end of the test');
  engine = undefined;
  removeDir(dataDir);
});

const journal = () => join(dataDir, 'journal', 'journal.log');
const marker = () =>
  existsSync(join(dataDir, 'marker')) ? readFileSync(join(dataDir, 'marker'), 'utf8').trim().split('\n') : [];
/** One line for each start: the run and its process. */
const marking = `echo "$OPENLINE_RUN_ID $$" >> MARKER;`;

/** Starts an engine in another process, and kills -9 it as soon as it said a line that `when` likes. */
async function runAndKill(script: string, count: number, when: (line: string) => boolean): Promise<string[]> {
  const path = join(import.meta.dirname, 'testing', 'engine-process.ts');
  const own = spawn(process.execPath, [path, dataDir, script, String(count)], { stdio: ['ignore', 'pipe', 'inherit'] });
  child = own;
  const lines: string[] = [];
  for await (const line of createInterface({ input: own.stdout })) {
    lines.push(line);
    if (when(line)) own.kill('SIGKILL');
  }
  return lines;
}

/** As that other process runs it: with a parameter that is of the agent. */
const where = (script: string) => shell(script, { parametersSchema: { properties: { where: { type: 'string' } } } });

describe('an agent that is killed with -9', () => {
  it('in the middle of a task reports it as lost, ends what still runs of it, and never starts it again', async () => {
    const script = `${marking.replace('MARKER', `${dataDir}/marker`)} sleep 30`;
    await runAndKill(script, 1, (line) => line === 'started run-0');
    await until(() => marker().length === 1);
    const pid = Number(marker()[0]?.split(' ')[1]);
    engine = await startEngine(dataDir, seen, tasksOf(where(script)));
    expect(engine.openRunIds()).toEqual(['run-0']);
    engine.sessionOpened(1_000_000);
    engine.offer([offerOf('run-0')]);
    const result = await seen.result('run-0');
    expect(result).toMatchObject({ end: TaskEnd.TASK_END_LOST, reasonCode: 'AGENT_RESTARTED' });
    expect(result.startedUnixMs).toBeGreaterThan(0n);
    expect(result.parametersFrom).toEqual({ where: 'test-agent' });
    await until(() => !isAlive(pid));
    engine.resultsCommitted(['run-0']);
    await engine.stop('again');
    engine = await startEngine(dataDir, seen, tasksOf(where(script)));
    engine.sessionOpened(1_000_000);
    engine.offer([offerOf('run-0')]);
    await until(() => seen.results('run-0').length > 1);
    expect(marker()).toHaveLength(1);
  });

  it('at any moment of many tasks starts each at most once, and every accepted one ends', async () => {
    const script = `${marking.replace('MARKER', `${dataDir}/marker`)} sleep 0.02`;
    const said = await runAndKill(script, 40, (line) => line === 'ended run-7');
    const accepted = said.filter((line) => line.startsWith('accepted')).map((line) => line.slice(9));
    expect(accepted).toHaveLength(40);
    engine = await startEngine(dataDir, seen, tasksOf(where(script)));
    engine.sessionOpened(1_000_000);
    engine.offer(accepted.map((id) => offerOf(id)));
    for (const id of accepted) await seen.result(id);
    const starts = marker().map((line) => line.split(' ')[0]);
    expect(starts.length).toBe(new Set(starts).size);
    const ends = accepted.map((id) => seen.results(id)[0]?.end);
    expect(ends.filter((end) => end === TaskEnd.TASK_END_LOST).length).toBeLessThanOrEqual(4);
    expect(ends.filter((end) => end === TaskEnd.TASK_END_SUCCEEDED).length).toBeGreaterThanOrEqual(36);
  }, 60_000);
});

describe('a journal', () => {
  async function leave(...ids: string[]): Promise<string> {
    engine = await startEngine(
      dataDir,
      seen,
      tasksOf(shell(`${marking.replace('MARKER', `${dataDir}/marker`)} echo out`)),
    );
    engine.sessionOpened(1_000_000);
    engine.offer(ids.map((id) => offerOf(id)));
    for (const id of ids) await seen.result(id);
    await engine.stop('restart');
    seen = server();
    return engine.journalId;
  }

  async function comeBack(): Promise<TaskEngine> {
    engine = await startEngine(dataDir, seen, tasksOf(shell(`echo again >> ${dataDir}/marker`)));
    engine.sessionOpened(1_000_000);
    return engine;
  }

  it('whose last line was cut off keeps everything before it, and its name', async () => {
    const id = await leave('a', 'b');
    appendFileSync(journal(), 'deadbeef {"t":"accepted","run":"c"');
    const again = await comeBack();
    expect(again.journalId).toBe(id);
    expect((await seen.result('a')).end).toBe(TaskEnd.TASK_END_SUCCEEDED);
    expect((await seen.result('b')).end).toBe(TaskEnd.TASK_END_SUCCEEDED);
    await until(() => seen.output('a') === 'out\n');
  });

  it('that was cut off anywhere is read up to there, and starts nothing that it knows', async () => {
    const id = await leave('a');
    const bytes = readFileSync(journal());
    const starts = marker().length;
    for (let length = bytes.indexOf('\n') + 1; length < bytes.length; length += 37) {
      writeFileSync(journal(), bytes);
      truncateSync(journal(), length);
      const again = await comeBack();
      expect(again.journalId).toBe(id);
      await again.stop('next');
    }
    expect(marker()).toHaveLength(starts);
  });

  it('that is damaged in the middle is kept aside; a new one with another name takes over, and starts nothing again', async () => {
    const id = await leave('a', 'b');
    const bytes = readFileSync(journal());
    bytes[bytes.indexOf('ended')] = 0;
    writeFileSync(journal(), bytes);
    const errors: string[] = [];
    const log = { info() {}, warn() {}, error: (_: object, message: string) => errors.push(message) };
    engine = await startEngine(dataDir, seen, tasksOf(shell('true')), {}, { log });
    expect(engine.journalId).not.toBe(id);
    expect(errors).toHaveLength(1);
    expect(readdirSync(join(dataDir, 'journal')).filter((name) => name.includes('corrupt'))).toHaveLength(1);
    engine.sessionOpened(1_000_000);
    const known = ['a', 'b'];
    engine.offer(known.map((run) => offerOf(run)));
    await until(() => seen.results('b').length > 0);
    expect(seen.results('b')[0]).toMatchObject({ end: TaskEnd.TASK_END_LOST });
    const second = engine.journalId;
    await engine.stop('once more');
    const again = await comeBack();
    expect(again.journalId).toBe(second);
  });

  it('stays small however many tasks are committed', async () => {
    engine = await startEngine(dataDir, seen, tasksOf(shell('true')));
    engine.sessionOpened(1_000_000);
    engine.offer([offerOf('a', 'shell', { parametersJson: JSON.stringify({ x: 'y'.repeat(90_000) }) })]);
    await seen.result('a');
    engine.resultsCommitted(['a']);
    await engine.stop('restart');
    expect(statSync(journal()).size).toBeGreaterThan(90_000);
    await comeBack();
    await until(() => statSync(journal()).size < 1_000);
  });
});
