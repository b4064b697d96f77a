// `npm run bench:events -- [--agents N]`: how many records a second the server takes in until they are durable, and how soon it says so.
// The agents speak the protocol and have no rules: what this measures is the server. docs/performance.md says what the figures mean.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { cleanup, processesNaming, scratchDir, startServer } from '../harness/index.ts';
import { ROOT } from '../harness/paths.ts';
import { startChild } from './child.ts';
import type { EventAnswer, EventOrder } from './event-fleet.ts';
import { cpuMs, rssKb } from './process-usage.ts';
import { quantile, significant } from './statistics.ts';

const { values } = parseArgs({ options: { agents: { type: 'string', default: '1000' } } });
const count = Number(values.agents);

function say(text: string): void {
  console.error(`[${(performance.now() / 1000).toFixed(1).padStart(6)} s] ${text}`);
}

async function main() {
  // Beside the code, on a real disk: /tmp may be memory, where a sync costs nothing.
  const dir = scratchDir('bench-events', join(ROOT, '.openline'));
  const server = await startServer({ dir, flags: [`--max-agents=${count + 10}`, '--log-level=warn'] });
  await using fleet = startChild<EventOrder, EventAnswer>(join(import.meta.dirname, 'event-fleet.ts'));
  say(`enrolling ${count} agents`);
  const agents = await Promise.all(
    Array.from({ length: count }, async (_, i) => ({
      name: `bench-${i}`,
      joinToken: await server.operator.joinToken(),
    })),
  );
  await fleet.ask({ kind: 'start', port: server.agentPort, caHash: server.caHash, agents, concurrency: 16 });
  const idleKb = await rssKb(server.process.pid);
  const postgres = () => processesNaming(dir).filter((pid) => pid !== server.process.pid && pid !== fleet.pid);
  const cpu = () => ({
    server: cpuMs(server.process.pid),
    agents: cpuMs(fleet.pid),
    postgres: postgres().reduce((sum, pid) => sum + cpuMs(pid), 0),
  });

  /** Who uses the processor: µs for each record. */
  async function burst(what: string, order: Omit<Extract<EventOrder, { kind: 'burst' }>, 'kind'>) {
    const before = cpu();
    const answer = await fleet.ask({ kind: 'burst', ...order });
    if (answer.kind !== 'burst') throw new Error('another answer');
    const after = cpu();
    const total = order.agents * order.records;
    const each = (who: keyof typeof after) => significant(((after[who] - before[who]) * 1000) / total);
    const perS = significant((total * 1000) / answer.ms);
    const us = { server: each('server'), postgres: each('postgres'), agents: each('agents') };
    say(
      `${what}: ${perS} records/s (µs per record: server ${us.server}, PostgreSQL ${us.postgres}, agents ${us.agents})`,
    );
    return { per_s: perS, cpu_us_per_record: us };
  }

  async function steady(what: string, order: Omit<Extract<EventOrder, { kind: 'steady' }>, 'kind'>) {
    const answer = await fleet.ask({ kind: 'steady', ...order });
    if (answer.kind !== 'steady') throw new Error('another answer');
    const [p50, p99] = [significant(quantile(answer.ackMs, 0.5)), significant(quantile(answer.ackMs, 0.99))];
    say(`${what}: acknowledged p50 ${p50} ms, p99 ${p99} ms; flood ${Math.round(answer.floodPerS)} records/s`);
    return { ack_p50_ms: p50, ack_p99_ms: p99, flood_per_s: significant(answer.floodPerS) };
  }

  await burst('warm-up', { agents: count, records: 20, keys: 1 });
  const result = {
    agents: count,
    all_repeats: await burst('all agents, repeats of one alert each', { agents: count, records: 100, keys: 1 }),
    all_keys: await burst('all agents, ten alerts each', { agents: count, records: 100, keys: 10 }),
    one_repeats: await burst('one agent, repeats of one alert', { agents: 1, records: 50_000, keys: 1 }),
    one_keys: await burst('one agent, 400 alerts', { agents: 1, records: 50_000, keys: 400 }),
    calm: await steady('1,000 records/s', { perSecond: 1_000, seconds: 10, floodKeys: 0 }),
    beside_a_flood: await steady('200 records/s beside a flood', { perSecond: 200, seconds: 10, floodKeys: 400 }),
    server_mb: { idle: significant(idleKb / 1024), after: significant((await rssKb(server.process.pid)) / 1024) },
  };
  await server.stop();
  return result;
}

try {
  console.log(JSON.stringify(await main(), undefined, 2));
} finally {
  await cleanup();
}
