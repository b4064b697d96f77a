// From an event that a program writes to the log of a real agent, to the answer of the mail server that it has taken the mail.

import { join } from 'node:path';
import { AlertServiceService, AlertSeverity } from '@openline/proto/alerts';
import { createTransport } from 'nodemailer';
import { createEventLog } from '../../agent/src/events/agent-log/writer.ts';
import {
  eventually,
  type MailServer,
  runCli,
  signWithSiteKey,
  startAgent,
  startMailServer,
  type TestServer,
} from '../harness/index.ts';
import { quantile, significant } from './statistics.ts';

/** An agent has at most 500 open alerts of one rule. */
const RULES = 10;
const PACK = `apiVersion: openline.dev/v1
kind: Pack
metadata: { name: bench, version: 1.0.0, title: Bench, description: For the benchmark. }
rules:
${Array.from(
  { length: RULES },
  (_, i) => `  each-${i}:
    title: Each
    description: Every event is an alert of its own.
    on: { log: agent, source: bench-${i} }
    alert: { severity: critical, title: 'bench \${event.message}', key: event.message }
`,
).join('')}`;
const declared = (port: number): string => `apiVersion: openline.dev/v1
kind: Channel
metadata: { name: mail }
spec: { smtp: { host: 127.0.0.1, port: ${port}, tls: none, from: openline@example.com } }
---
apiVersion: openline.dev/v1
kind: Subscription
metadata: { name: all }
spec: { criteria: { watches: ['bench/*'] }, send: [{ channel: mail, to: [ops@example.com] }] }
`;
/** As a mail of Openline is: both parts, a few kilobytes. */
const BARE_TEXT = 'The nightly import did not finish.\n'.repeat(40);
const BARE_MAILS = 200;

/** Unix time with fractions of a millisecond. */
const unixMs = (): number => performance.timeOrigin + performance.now();

export interface MailBench extends AsyncDisposable {
  /** nodemailer over one open connection, one mail after the other: until the same mail server has accepted it. */
  bare(): Promise<Percentiles>;
  /** @param everyMs between two events, on average; never on a beat */
  measure(events: number, everyMs: number): Promise<{ alert_ms: Percentiles; mail_ms: Percentiles }>;
}

export interface Percentiles {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

const percentiles = (values: readonly number[]): Percentiles => ({
  p50: significant(quantile(values, 0.5)),
  p99: significant(quantile(values, 0.99)),
  max: significant(Math.max(...values)),
});

export async function mailBench(server: TestServer, dir: string): Promise<MailBench> {
  const acceptedMs = new Map<string, number>();
  const heardMs = new Map<string, number>();
  const smtp: MailServer = await startMailServer({
    beforeAccept: ({ subject }) => {
      const name = nameIn(subject);
      if (name !== undefined && acceptedMs.has(name)) throw new Error(`a second mail about ${name}`);
      if (name !== undefined) acceptedMs.set(name, unixMs());
    },
  });
  const content = Buffer.from(PACK);
  await server.operator.pushPack(content, await signWithSiteKey(server, content), 'bench.yaml');
  const { code, stderr } = await runCli(server, ['apply', '-f', '-'], { stdin: declared(smtp.port) });
  if (code !== 0) throw new Error(stderr);
  const agent = await startAgent({ dir, server, name: 'real' });
  // The others hold no packs.
  await eventually(async () => (await server.operator.packs()).every(({ readyAgents }) => readyAgents > 0), {
    what: 'the agent to hold the pack',
  });
  const log = createEventLog({ directory: join(agent.dataDir, 'events') });

  const watching = new AbortController();
  // The fleet's other alerts are warnings.
  const severities = [AlertSeverity.ALERT_SEVERITY_CRITICAL];
  const filter = { states: [], severities, targets: '', watch: '', text: '', owner: '' };
  const watched = (async () => {
    for await (const { kind } of server.operator.stream(AlertServiceService.watchAlerts, { filter }, watching.signal)) {
      const name = kind?.$case === 'update' ? kind.value.alert?.key : undefined;
      if (name !== undefined && !heardMs.has(name)) heardMs.set(name, unixMs());
    }
  })();
  let written = 0;

  return {
    async bare() {
      const transport = createTransport({
        host: '127.0.0.1',
        port: smtp.port,
        ignoreTLS: true,
        pool: true,
        maxConnections: 1,
      });
      const took: number[] = [];
      for (let i = 0; i < BARE_MAILS; i++) {
        const startMs = performance.now();
        await transport.sendMail({ from: 'a@example.com', to: 'b@example.com', subject: 'bare', text: BARE_TEXT });
        took.push(performance.now() - startMs);
      }
      transport.close();
      return percentiles(took);
    },

    async measure(events, everyMs) {
      const writtenMs = new Map<string, number>();
      for (let i = 0; i < events; i++) {
        const source = `bench-${written % RULES}`;
        const message = `n=${written++};`;
        writtenMs.set(message, unixMs());
        await log.append([{ source, id: '', level: 'error', message, data: {} }]);
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 2 * everyMs));
      }
      await eventually(async () => [...writtenMs.keys()].every((name) => acceptedMs.has(name) && heardMs.has(name)), {
        what: `the mails of ${events} events`,
        timeoutMs: 60_000,
      });
      const since = (reached: ReadonlyMap<string, number>) =>
        percentiles([...writtenMs].map(([name, atMs]) => (reached.get(name) ?? Number.NaN) - atMs));
      return { alert_ms: since(heardMs), mail_ms: since(acceptedMs) };
    },

    async [Symbol.asyncDispose]() {
      watching.abort();
      await watched;
      await agent.stop();
      await smtp.close();
    },
  };
}

function nameIn(subject: string): string | undefined {
  return /n=\d+;/.exec(subject)?.[0];
}
