// The process that engine.ts measures: a pack of 50 rules, of four kinds, over the same log. Every event matches exactly one of them, and all
// others must be ruled out. Prints one JSON object.
import { parseArgs } from 'node:util';
import { type NodeEvent, parsePack } from '@openline/packs';
import { compileWatches, createEngine } from '@openline/packs/engine';

const { values } = parseArgs({ options: { events: { type: 'string', default: '100000' } } });
const events = Number(values.events);
const RULES = 50;

const rules = Array.from({ length: RULES }, (_, i) => {
  const alert = `alert: {severity: warning, title: 'Rule ${i}: \${event.message}', key: event.source}`;
  const pattern = `on: {log: journal, pattern: 'failure ${i} of (?P<what>\\S+) at (?P<place>\\S+)'}`;
  switch (i % 4) {
    case 0:
      return `  rule-${i}:\n    title: T\n    ${pattern}\n    ${alert}`;
    case 1:
      return `  rule-${i}:\n    title: T\n    on: {log: journal, where: event.data.code == ${i}}\n    ${alert}`;
    case 2:
      return `  rule-${i}:\n    title: T\n    ${pattern}\n    threshold: {count: 5, within: 1m, by: match.place}\n    ${alert}`;
    default:
      return `  rule-${i}:\n    title: T\n    on: {source: 'unit-${i}', level: error}\n    ${alert}`;
  }
});
const text = `apiVersion: openline.dev/v1
kind: Pack
metadata: {name: bench, version: 1.0.0, title: Bench}
rules:
${rules.join('\n')}
`;

const sample: readonly NodeEvent[] = Array.from({ length: 1000 }, (_, n) => {
  const i = n % RULES;
  return {
    log: 'journal',
    source: `unit-${i}`,
    id: '',
    level: 'error',
    atUnixMs: n,
    message:
      i % 4 === 0 || i % 4 === 2
        ? `failure ${i} of disk-${n % 7} at rack-${n % 11}: I/O error, sector ${n}`
        : `unit ${i} said ${n}`,
    data: i % 4 === 1 ? { code: i } : { code: 0 },
  };
});

const watches = compileWatches(
  [parsePack(Buffer.from(text), 'bench.yaml')],
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
