import type { AlertView } from '../../../cli/src/views/alert.ts';
import { eventually } from '../../harness/eventually.ts';
import { bundle, removeNamespace, startService } from '../pods/pods.ts';
import { expectSame, type Scenario, step } from '../scenario.ts';

const NAMESPACE = 'openline-mail';
const TO = 'oncall@shop.example';
const TEXT = 'The nightly import did not finish.';
/** The kubelet brings a ConfigMap to a running pod about once a minute. */
const DECLARED_WITHIN_MS = 180_000;

/** Of nobody else: on a machine that has much to do, the load of its nodes is a critical alert, too. */
const DECLARED = `apiVersion: openline.dev/v1
kind: Channel
metadata: { name: kind-mail }
spec:
  smtp: { host: mail.${NAMESPACE}.svc, port: 2525, tls: none, from: Openline <openline@shop.example> }
---
apiVersion: openline.dev/v1
kind: Subscription
metadata: { name: kind-oncall }
spec:
  criteria: { severity: critical, watches: [utility/*] }
  send:
    - { channel: kind-mail, to: [${TO}] }
`;

interface Mail {
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
}

export const eventToMail: Scenario = {
  name: 'event-to-mail',
  title: 'a test event on a node becomes an alert and a mail; who hears of it stands in the values',
  namespaces: [NAMESPACE],
  steps({ cluster, release }) {
    let node = '';
    const mails = async (): Promise<Mail[]> => {
      const log = await cluster.kubectl`logs -n ${NAMESPACE} mail`;
      return log.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
    };
    return [
      step('install, and an SMTP server in a pod', async () => {
        await startService(cluster, {
          namespace: NAMESPACE,
          name: 'mail',
          image: `openline/server:${release.tag}`,
          files: { 'mail-server.cjs': await bundle(cluster, 'mail-server') },
          command: ['node', '/app/mail-server.cjs'],
          port: 2525,
        });
        await release.ensure({ declared: { 'mail.yaml': DECLARED } });
        [node = ''] = await cluster.workers();
      }),
      step('channel and subscription of the values are there, without a restart', async () => {
        const patience = { timeoutMs: DECLARED_WITHIN_MS, intervalMs: 2_000 };
        const has = async (): Promise<boolean> =>
          (await release.openline`channels list`).includes('kind-mail') &&
          (await release.openline`subscriptions`).includes('kind-oncall');
        await eventually(has, { what: 'channel and subscription', ...patience });
      }),
      step('utility/create-test-event on a node raises a critical alert that names it', async () => {
        const message = `message=${TEXT}`;
        await release.openline`run utility/create-test-event --agent ${node} -p level=error -p source=payroll -p ${message}`;
        const alert = await eventually(
          async () => {
            const alerts = await release.ask<readonly AlertView[]>`alerts list --state new`;
            return alerts.find(({ agent, kind }) => agent === node && kind === 'rule');
          },
          { what: 'the alert', intervalMs: 500 },
        );
        expectSame('severity', [alert.severity], ['critical']);
      }),
      step('a mail comes, about that event and that node', async () => {
        const [first] = await eventually(async () => (await mails()).length > 0 && (await mails()), {
          what: 'the mail',
          intervalMs: 500,
        });
        expectSame('to', first?.to ?? [], [TO]);
        for (const text of [TEXT, node]) {
          if (first?.text.includes(text) !== true) throw new Error(`the mail does not say “${text}”:\n${first?.text}`);
        }
      }),
      step('nothing waits in the outbox, nothing was given up, and there was no second mail', async () => {
        const metrics = await release.metrics();
        for (const name of ['openline_notifications_pending', 'openline_notifications_dead']) {
          if (!new RegExp(`^${name} 0$`, 'm').test(metrics)) throw new Error(`${name} is not 0`);
        }
        const others = (await mails()).slice(1).map(({ subject }) => subject);
        expectSame('further mails', others, []);
      }),
    ];
  },
  async teardown({ cluster }) {
    await removeNamespace(cluster, NAMESPACE);
  },
};
