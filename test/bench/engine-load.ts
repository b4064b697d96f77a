// The process that engine.ts measures. Prints one JSON object.
import { parseArgs } from 'node:util';
import { parsePack } from '@openline/packs';
import { compileWatches, createEngine } from '@openline/packs/engine';
import { packOfRules, RULES, sampleEvents } from './fifty-rules.ts';

const { values } = parseArgs({ options: { events: { type: 'string', default: '100000' } } });
const events = Number(values.events);
const sample = sampleEvents('journal');
const watches = compileWatches(
  [parsePack(Buffer.from(packOfRules('journal')), 'bench.yaml')],
  { agentName: 'a', labels: {}, facts: {} },
  [],
);
const engine = createEngine(watches);
engine.tick(0);

function run(count: number): number {
  let fired = 0;
  for (let i = 0; i < count; i++) {
    const event = sample[i % sample.length];
    if (event === undefined) break;
    fired += engine.event({ ...event, atUnixMs: i }, i).length;
    // As an agent does, once for a batch.
    if (i % 500 === 499) engine.changes();
  }
  return fired;
}

run(5000);
const before = process.cpuUsage();
const startedMs = performance.now();
const fired = run(events);
const seconds = (performance.now() - startedMs) / 1000;
const cpu = process.cpuUsage(before);
const errors = engine.health().reduce((sum, health) => sum + health.errors, 0);
console.log(
  JSON.stringify({
    rules: RULES,
    events,
    fired,
    errors,
    events_per_s: Math.round(events / seconds),
    // What the machine does besides does not count here.
    events_per_cpu_s: Math.round(events / ((cpu.user + cpu.system) / 1e6)),
    rss_mb: Math.round(process.memoryUsage().rss / 1024 / 1024),
  }),
);
