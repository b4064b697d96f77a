import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type MailServer,
  type ReceivedMail,
  startMailServer,
} from '../../server/src/notifications/testing/mail-server.ts';
import { eventually } from '../harness/eventually.ts';
import { expectExit } from './checks.ts';
import { DATA, shown } from './places.ts';
import { cut, note, print } from './screen.ts';
import { type } from './shell.ts';
import type { Step } from './steps.ts';

const FILE = join(DATA, 'mail.yaml');
/** In the words of somebody who would be woken by it. */
const TEXT = 'The nightly import did not finish.';

let mailServer: MailServer | undefined;

/** Who is told of what, over what. The mail server is this demo's own, on this machine, so the mail needs no TLS. */
const declared = (port: number): string => `apiVersion: openline.dev/v1
kind: Channel
metadata: { name: demo-mail }
spec:
  smtp: { host: 127.0.0.1, port: ${port}, tls: none, from: Openline <openline@demo.example> }
---
apiVersion: openline.dev/v1
kind: Subscription
metadata: { name: demo-oncall }
spec:
  criteria: { severity: critical }
  send:
    - { channel: demo-mail, to: [oncall@demo.example] }
`;

export const mail: Step = {
  name: 'From an event to a mail: the whole loop',
  why: 'A task writes a synthetic event to the log of its agent. A rule of the pack utility detects it there, the server raises an alert, and a mail goes out: one task proves agent, rule, alert and notification.',
  async perform() {
    mailServer ??= await startMailServer();
    note(`A real SMTP server listens on port ${mailServer.port}: it belongs to this demo, and shows what it is given.`);
    writeFileSync(FILE, declared(mailServer.port));
    expectExit(await type(`openline apply -f ${shown(FILE)}`), 0);
    const before = mailServer.mails.length;
    const sentMs = performance.now();
    const line = `openline run utility/create-test-event --agent web-1 -p level=error -p source=payroll -p 'message=${TEXT}'`;
    expectExit(await type(line), 0);
    const received = await eventually(() => mailServer?.mails.slice(before).find(isOurs), {
      what: 'the mail about the test event',
      timeoutMs: 30_000,
    });
    print();
    note(`The mail server took this ${Math.round(performance.now() - sentMs)} ms after the command was typed:`);
    show(received);
    expectExit(await type('openline alerts list --state new'), 0);
    const again = mailServer.mails.slice(before).filter(isOurs);
    if (again.length !== 1) throw new Error(`${again.length} mails came about one event`);
  },
};

const isOurs = ({ subject, to }: ReceivedMail): boolean =>
  subject.includes('Test event') && to.includes('oncall@demo.example');

function show({ from, to, subject, text }: ReceivedMail): void {
  const lines = [`From: ${from}`, `To: ${to.join(', ')}`, `Subject: ${subject}`, '', ...text.trimEnd().split('\n')];
  for (const line of lines) print(cut(`  | ${line}`));
}
