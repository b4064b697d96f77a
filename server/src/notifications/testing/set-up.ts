import type { Kysely } from 'kysely';
import type { Pool } from 'pg';
import type { Principal } from '../../access/access.ts';
import type { Alert } from '../../alerts/alert.ts';
import type { AlertRaise } from '../../alerts/alerts.ts';
import { createAlertDesk } from '../../alerts/desk.ts';
import { createAlertHub } from '../../alerts/hub.ts';
import { createAuditLog } from '../../audit/audit-log.ts';
import { type Clock, systemClock } from '../../clock.ts';
import { parseSubnet } from '../../config/values.ts';
import { newId } from '../../db/ids.ts';
import type { Schema } from '../../db/schema.ts';
import { silentLog } from '../../db/testing.ts';
import { createDeclaredService } from '../../declared/declared-service.ts';
import { createDeclaredRegistry } from '../../declared/registry.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { createNotifications, type NotificationConfig } from '../notifications.ts';

/** The whole of notifications on a real database, with a wall clock that the test moves. */

export const ADMIN: Principal = { id: 'a', name: 'alice', role: 'admin' };

export async function setUpNotifications(
  db: { readonly pool: Pool; readonly kysely: Kysely<Schema> },
  over: Partial<NotificationConfig> = {},
) {
  let aheadMs = 0;
  const clock: Clock = {
    ...systemClock,
    now: () => new Date(Date.now() + aheadMs),
    nowMs: () => performance.now() + aheadMs,
  };
  const metrics = createMetrics();
  const registry = createDeclaredRegistry();
  const audit = createAuditLog({ db: db.kysely });
  const secrets: Record<string, string> = { OPENLINE_SECRET_SMTP: 'hunter2' };
  const maintained = new Set<string>();
  const logged: Record<string, unknown>[] = [];
  const note = (fields: unknown, text?: string) => void logged.push({ ...(fields as object), text });
  const notifications = createNotifications(
    {
      pool: db.pool,
      registry,
      audit,
      clock,
      random: () => 0,
      newId,
      maintenanceOf: async (ids) => new Map(ids.filter((id) => maintained.has(id)).map((id) => [id, 'm1'])),
      log: Object.assign(Object.create(silentLog), { info: note, warn: note, error: note }),
      metrics,
      env: secrets,
      userAgent: 'openline/test',
    },
    {
      secretsDir: '/nowhere',
      notifyAllow: ['127.0.0.0/8', '::1'].flatMap((text) => parseSubnet(text) ?? []),
      notifyDeny: [],
      notifyCommands: undefined,
      historyDays: 7,
      databaseUrl: undefined,
      ...over,
    },
  );
  const declared = await createDeclaredService({ pool: db.pool, registry, audit, clock, log: silentLog });
  const hub = createAlertHub();
  const desk = createAlertDesk({ pool: db.pool, hub, clock, maintenanceOf: async () => new Map() });
  desk.onChanges(notifications.hook);

  return {
    service: notifications.service,
    declared,
    desk,
    metrics,
    logged,
    secrets,
    /** Ids of agents in maintenance. */
    maintained,
    start: () => notifications.start(),
    apply: (text: string) => declared.apply(ADMIN, [{ name: 'a.yaml', content: Buffer.from(text) }], { dryRun: false }),
    /** Moves the clocks of this process; the sweep looks once a second. */
    pass(ms: number) {
      aheadMs += ms;
    },
    async raise(key: string, raise: Partial<AlertRaise> = {}): Promise<Alert> {
      const { alerts } = await desk.apply([raiseOf(key, raise)]);
      const [alert] = alerts;
      if (alert === undefined) throw new Error('nothing was raised');
      return alert;
    },
    close: (key: string) => desk.apply([{ kind: 'close', subject: subjectOf(key), by: 'linux/disk', comment: '' }]),
    async stop() {
      declared.stop();
      await notifications.stop(2_000);
    },
  };
}

export function subjectOf(key: string) {
  // Of no agent: none has to be enrolled.
  return { kind: 'line', agentId: '', watch: 'group', key } as const;
}

export function raiseOf(key: string, over: Partial<AlertRaise> = {}): AlertRaise {
  return {
    kind: 'raise',
    subject: subjectOf(key),
    severity: 'warning',
    severityMay: 'follow',
    title: `title ${key}`,
    description: `description of ${key}`,
    by: 'line/group',
    group: { name: `agents of ${key}`, labels: { zone: key } },
    ...over,
  };
}

/** A channel `mail` and a subscription `all` that sends to ops@example.com. */
export const mailChannel = (port: number, more = '') => `
apiVersion: openline.dev/v1
kind: Channel
metadata: {name: mail}
spec:
  smtp: {host: 127.0.0.1, port: ${port}, tls: none, from: alerts@example.com}
${more}
---
`;

export const subscription = (name: string, spec: string) => `
apiVersion: openline.dev/v1
kind: Subscription
metadata: {name: ${name}}
spec:
  ${spec.trim().replaceAll('\n', '\n  ')}
---
`;

export const TO_OPS = 'send: [{channel: mail, to: [ops@example.com]}]';
