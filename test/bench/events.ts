// From events to alerts to mails: what an agent, and what the server, take each second, and how soon a mail is out.
import { join } from 'node:path';
import { scratchDir, startServer } from '../harness/index.ts';
import { ROOT } from '../harness/paths.ts';
import { measureAgentEvents } from './agent-events.ts';
import { measureBare } from './bare.ts';
import { startChild } from './child.ts';
import type { EventAnswer, EventOrder } from './event-fleet.ts';
import { mailBench } from './event-to-mail.ts';
import { intakeOf } from './intake.ts';
import { rssKb } from './process-usage.ts';
import { say } from './say.ts';
import { significant } from './statistics.ts';

const MAILS = 500;
const MAIL_EVERY_MS = 40;
/** Of alerts of other agents, while mails are measured once more. */
const BESIDE = { perSecond: 500, seconds: 25, floodKeys: 0 };

export async function benchEvents(agents: number) {
  say(`bare grpc-js echo over ${agents} mutual-TLS streams`);
  const bare = await measureBare(agents);
  say(`bare: ${Math.round(bare.echoPerS)} echoes/s`);

  const agent = await measureAgentEvents();
  say(`one agent: ${agent.matched_per_s} matched events/s (bare: ${agent.bare_lines_per_s} lines/s read and split)`);

  // Beside the code, on a real disk: /tmp may be memory, where a sync costs nothing.
  const dir = scratchDir('bench-events', join(ROOT, '.openline'));
  const server = await startServer({ dir, flags: [`--max-agents=${agents + 10}`, '--log-level=warn'] });
  await using fleet = startChild<EventOrder, EventAnswer>(join(import.meta.dirname, 'event-fleet.ts'));
  say(`enrolling ${agents} agents`);
  const names = await Promise.all(
    Array.from({ length: agents }, async (_, i) => ({
      name: `bench-${i}`,
      joinToken: await server.operator.joinToken(),
    })),
  );
  await fleet.ask({ kind: 'start', port: server.agentPort, caHash: server.caHash, agents: names, concurrency: 16 });
  const idleKb = await rssKb(server.process.pid);
  const intake = intakeOf(server, fleet, bare.echoPerS);

  await intake.burst('warm-up', { agents, records: 20, keys: 1 });
  const toMail = await fromEventToMail();
  const result = {
    agents,
    bare: { echo_per_s: significant(bare.echoPerS), mail_ms: toMail.bare },
    agent,
    event_to_mail: { quiet: toMail.quiet, beside_500_per_s: toMail.beside },
    server: {
      all_repeats: await intake.burst('all agents, repeats of one alert each', { agents, records: 100, keys: 1 }),
      all_keys: await intake.burst('all agents, ten alerts each', { agents, records: 100, keys: 10 }),
      one_repeats: await intake.burst('one agent, repeats of one alert', { agents: 1, records: 50_000, keys: 1 }),
      one_keys: await intake.burst('one agent, 400 alerts', { agents: 1, records: 50_000, keys: 400 }),
      calm: await intake.steady('1,000 records/s', { perSecond: 1_000, seconds: 10, floodKeys: 0 }),
      beside_a_flood: await intake.steady('200 records/s beside a flood', {
        perSecond: 200,
        seconds: 10,
        floodKeys: 400,
      }),
      memory_mb: { idle: significant(idleKb / 1024), after: significant((await rssKb(server.process.pid)) / 1024) },
    },
    notes: [
      'agent: one process with the flags of an agent and 50 rules catches up with its own event log, until its conclusions are on disk; bare: the same lines, read and split.',
      'All agents run on the machine of the server and its PostgreSQL: they compete for the same cores.',
      'server: records that agents’ rules have fired, until the alert that they raise or repeat is committed and the agent told so; ratio to bare echoes.',
      'event_to_mail: from writing an event to the log of a real agent, to the answer of a real SMTP server that it took the mail; alert_ms until a watcher hears of the alert.',
      'bare mail_ms: nodemailer over one open connection to the same SMTP server, one mail after the other.',
    ],
  };
  await server.stop();
  return result;

  async function fromEventToMail() {
    await using mails = await mailBench(server, dir);
    const bareMail = await mails.bare();
    say(`bare: a mail takes p50 ${bareMail.p50} ms, p99 ${bareMail.p99} ms`);
    await mails.measure(100, 20); // until the JIT has seen what is hot
    const quiet = await mails.measure(MAILS, MAIL_EVERY_MS);
    say(`event to mail: p50 ${quiet.mail_ms.p50} ms, p99 ${quiet.mail_ms.p99} ms (alert p50 ${quiet.alert_ms.p50} ms)`);
    const busy = intake.steady('500 records/s', BESIDE);
    const beside = await mails.measure(MAILS, MAIL_EVERY_MS);
    say(`beside 500 alerts a second: p50 ${beside.mail_ms.p50} ms, p99 ${beside.mail_ms.p99} ms`);
    await busy;
    return { bare: bareMail, quiet, beside };
  }
}
