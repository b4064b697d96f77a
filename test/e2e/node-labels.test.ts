import { join } from 'node:path';
import { AlertServiceService } from '@openline/proto/alerts';
import { DeclaredServiceService } from '@openline/proto/declared';
import { afterAll, it } from 'vitest';
import { createEventLog } from '../../agent/src/event-log.ts';
import {
  canPlayCluster,
  cleanup,
  eventually,
  packsHeld,
  scratchDir,
  signWithSiteKey,
  startAgent,
  startCluster,
  startServer,
} from '../harness/index.ts';

const PACK = `apiVersion: openline.dev/v1
kind: Pack
metadata: { name: watch, version: 1.0.0, title: Watch, description: For a test. }
rules:
  often:
    title: Often
    description: The same event several times.
    on: { log: agent }
    threshold: { count: 1000, within: 1h }
    alert: { severity: warning, title: often }
`;
const DECLARED = `apiVersion: openline.dev/v1
kind: Override
metadata: { name: nervous }
spec: { watch: watch/often, on: tier=money, threshold: { count: 2 } }
---
apiVersion: openline.dev/v1
kind: HeartbeatPolicy
metadata: { name: closely }
spec: { on: tier=money, interval: 1s }
`;

const possible = canPlayCluster();
if (!possible) console.warn('test/e2e/node-labels: skipped, as a server in a cluster takes root and namespaces');
afterAll(cleanup);

it.skipIf(!possible)(
  'another label of its node brings a connected agent the override and the heartbeat policy that hold by it, at once',
  async () => {
    const dir = scratchDir('node-labels');
    const cluster = await startCluster(dir);
    cluster.label('worker', { tier: 'test' });
    const { enter, env, flags } = cluster.server;
    const server = await startServer({
      dir,
      enter,
      env,
      flags: [...flags, '--heartbeat-interval=10m', '--offline-after=1h'],
    });
    const content = Buffer.from(PACK);
    await server.operator.pushPack(content, await signWithSiteKey(server, content), 'watch.yaml');
    const files = [{ name: 'declared.yaml', content: Buffer.from(DECLARED) }];
    await server.operator.unary(DeclaredServiceService.applyDeclared, { files, dryRun: false });
    const agent = await startAgent({ dir, server, name: 'worker', tokenFile: await cluster.token('worker') });
    await packsHeld(server);

    const log = createEventLog({ directory: join(agent.dataDir, 'events') });
    const write = () => log.append([{ source: 'test', id: '', level: 'info', message: 'again', data: {} }]);
    const filter = { states: [], severities: [], targets: '', watch: 'watch/often', text: '', owner: '' };
    const alerts = () => server.operator.unary(AlertServiceService.listAlerts, { filter, limit: 9, pageToken: '' });

    let heartbeats = 0;
    const watching = new AbortController();
    const trace = (async () => {
      for await (const { kind } of server.operator.trace('worker', watching.signal))
        if (kind?.$case === 'frame' && kind.value.kind === 'heartbeat') heartbeats += 1;
    })().catch(() => undefined);
    cluster.label('worker', { tier: 'money' });
    await eventually(() => heartbeats > 2, { what: 'a heartbeat each second' });
    watching.abort();
    await trace;
    await eventually(
      async () => {
        await write();
        return (await alerts()).alerts.length === 1;
      },
      { what: 'two events to be enough', intervalMs: 200 },
    );
  },
);
