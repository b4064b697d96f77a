import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { runCli } from '../cli.ts';
import { testIo } from '../testing/io.ts';

/** Runs `openline event …` where the environment names the log. */
async function event(args: readonly string[], stdin = '') {
  const directory = mkdtempSync(join(tmpdir(), 'openline-event-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const io = testIo({ env: { OPENLINE_AGENT_EVENTS_DIRECTORY: directory }, stdin });
  const code = await runCli(['event', ...args], io);
  const text = readdirSync(directory).map((name) => readFileSync(join(directory, name), 'utf8'));
  const events = text.flatMap((one) => one.split('\n')).filter((line) => line !== '');
  return { code, events: events.map((line) => JSON.parse(line)), out: io.out.text, err: io.err.text };
}

it('one event goes to the log, with what was given, and its id is printed', async () => {
  const flags = ['--source', 'backup', '--id', '7', '--level', 'error', '--data', '{"host":"db-1"}'];
  const { code, events, out } = await event(['it failed', ...flags]);
  expect(code).toBe(0);
  expect(events).toMatchObject([
    { message: 'it failed', source: 'backup', id: '7', level: 'error', data: { host: 'db-1' } },
  ]);
  expect(out).toBe(`${events[0].uid}\n`);
});

it('without a message each line of standard input is one, also the last one without an end', async () => {
  const { code, events, out } = await event(['--source', 'job', '--quiet'], 'one\r\n\n  two\nthree');
  expect({ code, out }).toEqual({ code: 0, out: '' });
  expect(events.map(({ message, source }) => [message, source])).toEqual([
    ['one', 'job'],
    ['  two', 'job'],
    ['three', 'job'],
  ]);
});

it('lines of JSON go over what flags say', async () => {
  const { events } = await event(
    ['--json', '--level', 'warning'],
    '{"message":"a","id":3}\n{"message":"b","level":"info"}\n',
  );
  expect(events).toMatchObject([
    { message: 'a', id: '3', level: 'warning' },
    { message: 'b', level: 'info' },
  ]);
});

it.each([
  [['x', '--level', 'loud'], '', /level/],
  [['x', '--data', '[1]'], '', /data: expected a JSON object/],
  [['x', '--data', 'no'], '', /--data: expected a JSON object/],
  [[''], '', /message: is empty/],
  [['--json'], '{"message":"a"}\nno json\n', /line 2: expected a JSON object/],
  [['--json'], '{"message":"a","colour":1}\n', /line 1: colour: there is no such field/],
  [['--json', 'x'], '', /--json is for standard input/],
])('%j is refused, and says why', async (args, stdin, why) => {
  const { code, events, err } = await event(args, stdin);
  expect({ code, events }).toEqual({ code: 2, events: [] });
  expect(err).toMatch(why);
});

it('where no agent is, it says how to name the log', async () => {
  const io = testIo();
  expect(await runCli(['event', 'x', '--dir', '/nonexistent/agent/events'], io)).toBe(1);
  expect(io.err.text).toContain('there is no event log of an agent at /nonexistent/agent/events');
  expect(io.err.text).toContain('--dir');
});

it('a folder that is mistyped is not made: nobody would read it', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'openline-event-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const io = testIo();
  expect(await runCli(['event', 'x', '--dir', join(directory, 'evnets')], io)).toBe(1);
  expect(io.err.text).toContain('there is no event log of an agent at');
  expect(readdirSync(directory)).toEqual([]);
});
