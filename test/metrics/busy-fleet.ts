import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import {
  eventually,
  packsHeld,
  pushPacks,
  runCli,
  startAgent,
  startMailServer,
  startServer,
  type TestServer,
} from '../harness/index.ts';
import { ROOT, TEST_PACK } from '../harness/paths.ts';
import { stablePort } from '../harness/ports.ts';
import type { Target } from './prometheus.ts';

const SHIPPED = ['utility', 'linux'].map((pack) => join(ROOT, 'packs', 'shipped', `${pack}.yaml`));
/** On a machine that does much else. */
const PATIENCE_MS = 120_000;
/** At most one round of work in so many. */
const ROUND_MS = 1_000;
const AGENTS = ['web-1', 'web-2', 'db-1'];

const declared = (smtpPort: number) => `
apiVersion: openline.dev/v1
kind: Channel
metadata: {name: mail}
spec:
  smtp: {host: 127.0.0.1, port: ${smtpPort}, tls: none, from: openline@example.com}
---
apiVersion: openline.dev/v1
kind: Subscription
metadata: {name: all}
spec: {criteria: {watches: [utility/*]}, send: [{channel: mail, to: [ops@example.com]}]}
`;

export interface BusyFleet {
  readonly targets: readonly Target[];
  stop(): Promise<void>;
}

/** A server and agents as deployed, that run tasks, write output, raise alerts and send mail until they are stopped. */
export async function startBusyFleet(dir: string): Promise<BusyFleet> {
  const metricsPort = await stablePort();
  const server = await startServer({
    dir,
    flags: ['--heartbeat-interval=500ms', '--notify-allow=127.0.0.0/8', `--metrics-listen=127.0.0.1:${metricsPort}`],
  });
  await pushPacks(server, [...SHIPPED, TEST_PACK]);
  const smtp = await startMailServer();
  const { code, stderr } = await runCli(server, ['apply', '-f', '-'], { stdin: declared(smtp.port) });
  if (code !== 0) throw new Error(`could not declare a channel: ${stderr}`);
  const ports: number[] = [];
  for (const name of AGENTS) {
    const port = await stablePort();
    ports.push(port);
    await startAgent({ dir, server, name, flags: [`--metrics-listen=127.0.0.1:${port}`] });
  }
  await packsHeld(server, PATIENCE_MS);
  const stopWorking = keepBusy(server);
  await smtp.received(1, PATIENCE_MS);
  return {
    targets: [
      { job: 'openline-server', addresses: [`127.0.0.1:${metricsPort}`] },
      { job: 'openline-agent', addresses: ports.map((port) => `127.0.0.1:${port}`) },
    ],
    async stop() {
      await stopWorking();
      await smtp.close();
    },
  };
}

/** One round of work after the other. @returns ends it */
function keepBusy({ operator }: TestServer): () => Promise<void> {
  let stopped = false;
  const work = (async () => {
    while (!stopped) {
      await Promise.all([
        operator.run('utility/ping'),
        operator.run('linux/disk-usage'),
        operator.run('test/exit', { parameters: { code: 3 } }),
        operator.run('utility/create-test-event', { parameters: { level: 'warning' } }),
        // Busy, and no benchmark: figures are what is wanted, not load.
        setTimeout(ROUND_MS),
      ]);
    }
  })();
  return async () => {
    stopped = true;
    await eventually(() => work.then(() => true), { what: 'the last round of work to end' });
  };
}
