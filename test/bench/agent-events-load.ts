// The process that agent-events.ts measures: an agent's rules, as agent.mjs runs them, from its own event log on disk to records on disk, without
// a link. `agent-events-load.mjs prepare|read DIRECTORY EVENTS`, or `bare`: the same lines, read and split. Prints one JSON object.
import '../../agent/src/lean.ts';
import { readdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parsePack } from '@openline/packs';
import type { EventRecord } from '@openline/proto/agent';
import { createAgentLogSource } from '../../agent/src/events/agent-log/source.ts';
import type { EventSource } from '../../agent/src/events/source.ts';
import { viewOf } from '../../agent/src/host/view.ts';
import { startRules } from '../../agent/src/rules/rules.ts';
import { systemClock } from '../../agent/src/tasks/clock.ts';
import { packOfRules } from './fifty-rules.ts';

const [what = '', directory = '', count = '0'] = process.argv.slice(2);
const events = Number(count);
const END = `  the-end:\n    title: T\n    on: {log: agent, source: the-end}\n    alert: {severity: information, title: 'end'}\n`;
/** Until what began is on disk. */
const SETTLE_MS = 1_500;

interface Begun {
  atMs: number;
  cpu: NodeJS.CpuUsage;
}

async function start(onBegin: () => void, onRecord: (record: EventRecord) => void) {
  const pack = parsePack(Buffer.from(packOfRules('agent', END)), 'bench.yaml');
  const log = { info() {}, warn() {}, error: (fields: object, text: string) => console.error(text, fields) };
  const rules = await startRules(
    {
      clock: systemClock,
      random: Math.random,
      log,
      packs: { newest: () => [pack], onChange: (told) => void told() },
      send(batch) {
        batch.records.forEach(onRecord);
        const { spoolId } = batch;
        const seq = batch.records.at(-1)?.seq ?? 0n;
        setImmediate(() => rules.acknowledged({ spoolId, seq }));
        return true;
      },
      sources: () => [
        beginning(
          createAgentLogSource({ clock: systemClock, random: Math.random }, { directory: join(directory, 'events') }),
          onBegin,
        ),
      ],
    },
    {
      dataDir: directory,
      agentName: 'bench',
      labels: {},
      facts: {},
      interpreters: {},
      path: '',
      home: directory,
      view: viewOf('none', '', false),
      workRoot: join(directory, 'probes'),
      spoolLimitBytes: 64 * 1024 * 1024,
      share: 1,
      maxBacklogMs: 3_600_000,
      probes: 1,
      allow: [],
      killGraceMs: 1_000,
    },
  );
  rules.sessionOpened(['events']);
  return rules;
}

function beginning(source: EventSource, onBegin: () => void): EventSource {
  return {
    log: source.log,
    start: (position, sink) =>
      source.start(position, {
        ...sink,
        push(batch, at, more) {
          if (batch.length > 0) onBegin();
          return sink.push(batch, at, more);
        },
      }),
    stop: () => source.stop(),
  };
}

/** So that the log is read from here on. */
async function prepare() {
  const rules = await start(
    () => {},
    () => {},
  );
  await pause(SETTLE_MS);
  await rules.stop();
  return {};
}

async function read() {
  let begun: Begun | undefined;
  let detected = 0;
  let records = 0;
  let ended = () => {};
  const end = new Promise<void>((resolve) => {
    ended = resolve;
  });
  const rules = await start(
    () => {
      begun ??= { atMs: performance.now(), cpu: process.cpuUsage() };
    },
    ({ kind }) => {
      records++;
      if (kind?.$case !== 'detection') return;
      if (kind.value.rule?.name === 'the-end') ended();
      else detected += Number(kind.value.eventCount);
    },
  );
  await end;
  if (begun === undefined) throw new Error('nothing was read');
  const seconds = (performance.now() - begun.atMs) / 1000;
  const cpu = process.cpuUsage(begun.cpu);
  // What is gathered still comes.
  await pause(SETTLE_MS);
  await rules.stop();
  const rssMb = process.memoryUsage.rss() / 1024 / 1024;
  return { seconds, cpuSeconds: (cpu.user + cpu.system) / 1e6, detected, records, rssMb };
}

async function bare() {
  const startMs = performance.now();
  const buffer = Buffer.allocUnsafe(64 * 1024);
  let lines = 0;
  for (const name of readdirSync(join(directory, 'events')).sort()) {
    const file = await open(join(directory, 'events', name));
    let rest = '';
    for (;;) {
      const { bytesRead } = await file.read(buffer);
      if (bytesRead === 0) break;
      const parts = (rest + buffer.toString('utf8', 0, bytesRead)).split('\n');
      rest = parts.pop() ?? '';
      for (const line of parts) if (line !== '') lines++;
    }
    await file.close();
  }
  if (lines < events) throw new Error(`${lines} lines instead of ${events}`);
  return { seconds: (performance.now() - startMs) / 1000 };
}

const result = what === 'prepare' ? await prepare() : what === 'read' ? await read() : await bare();
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit());
