import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import type { AlertHook, MaintenanceOf } from '../alerts/alerts.ts';
import { type AlertRow, toAlert } from '../alerts/rows.ts';
import type { AuditLog } from '../audit/audit.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config/config.ts';
import { createQuery } from '../db/query.ts';
import type { DeclaredRegistry } from '../declared/registry.ts';
import { createSecretResolver } from '../declared/resolve-secret.ts';
import { every, type Repeated } from '../every.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { createAlertHook } from './alert-hook.ts';
import type { ChannelSpec } from './channels/channel.ts';
import { channelKind } from './channels/channel-kind.ts';
import { createNotificationService, type NotificationService } from './notification-service.ts';
import { createDispatcher } from './outbox/dispatcher.ts';
import { takeCensus } from './outbox/outbox-queries.ts';
import { createOutboxStore } from './outbox/outbox-store.ts';
import { forgetSubscriptions } from './outbox/planning-store.ts';
import { giveUpOrphans, groomNotifications } from './outbox/upkeep.ts';
import { createResender } from './resender.ts';
import { createAddressGuard } from './senders/address-guard.ts';
import { createAlertmanagerSender } from './senders/alertmanager.ts';
import { createCommandSender } from './senders/command.ts';
import { createChatSender, createWebhookSender, type HttpDeps } from './senders/http-sender.ts';
import type { Sender } from './senders/sender.ts';
import { createSmtpSender } from './senders/smtp.ts';
import { subscriptionKind } from './subscriptions/subscription-kind.ts';

export interface NotificationDeps {
  readonly pool: Pool;
  readonly registry: DeclaredRegistry;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly random: () => number;
  newId(): string;
  readonly maintenanceOf: MaintenanceOf;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** "openline/1.2.3" */
  readonly userAgent: string;
}

export type NotificationConfig = Pick<
  Config,
  'secretsDir' | 'notifyAllow' | 'notifyDeny' | 'notifyCommands' | 'historyDays' | 'databaseUrl'
>;

export interface Notifications {
  /** To be registered with the alerts. */
  readonly hook: AlertHook;
  readonly service: NotificationService;
  /** Once what is declared was loaded. */
  start(): Promise<void>;
  /** What is under way has `graceMs` to end. */
  stop(graceMs: number): Promise<void>;
}

const CENSUS_MS = 15_000;
const GROOM_MS = 60_000;
const DAY_MS = 24 * 3600_000;
/** What waits for a person waits longer than what went well. */
const KEEP_DEAD_DAYS = 30;

/** Registers the kinds, and puts the parts together. */
export function createNotifications(deps: NotificationDeps, config: NotificationConfig): Notifications {
  const { pool, registry, clock, log, metrics } = deps;
  const query = createQuery(pool);
  const store = createOutboxStore(pool);
  const channels = registry.register(channelKind);
  const subscriptions = registry.register({
    ...subscriptionKind,
    async saving(changes, tx) {
      const gone = changes.filter(({ after }) => after === undefined).map(({ name }) => name);
      await forgetSubscriptions(tx, gone, clock.now());
    },
  });
  const http: HttpDeps = {
    guard: createAddressGuard(config.notifyAllow, config.notifyDeny),
    resolveSecret: createSecretResolver(config.secretsDir, deps.env),
    clock,
    userAgent: deps.userAgent,
  };
  const observe = (channel_kind: string, outcome: string, count: number) => {
    if (count > 0) metrics.notifications.with({ channel_kind, outcome }).inc(count);
  };
  const dispatcher = createDispatcher({
    ...deps,
    store,
    channels,
    subscriptions,
    createSender: (spec) => senderFor(spec, http, config.notifyCommands),
    async readAlerts(ids) {
      const { rows } = await query<AlertRow>({
        name: 'notifications-alerts',
        text: 'select * from alerts where id = any($1::bigint[])',
        values: [ids],
      });
      return new Map(rows.map((row) => [String(row.id), toAlert(row)]));
    },
    owner: randomUUID(),
    // An embedded database has one server.
    alone: config.databaseUrl === undefined,
    observe,
    observeDelay: (channel_kind, seconds) => metrics.notificationDelay.with({ channel_kind }).observe(seconds),
  });
  const hook = createAlertHook({
    subscriptions,
    channels,
    clock,
    newId: deps.newId,
    wake: dispatcher.wake,
    onSkipped: (count) => observe('', 'skipped', count),
    onCancelled: (count) => observe('', 'cancelled', count),
  });
  const resender = createResender({ query, channels, clock, http, log });
  const timers: Repeated[] = [];

  async function census(): Promise<void> {
    const now = clock.now();
    const { pending, oldestDue, dead } = await takeCensus(query, now);
    metrics.notificationsPending.set(pending);
    metrics.notificationsOldest.set(
      oldestDue === undefined ? 0 : Math.max(0, (now.getTime() - oldestDue.getTime()) / 1000),
    );
    metrics.notificationsDead.set(dead);
  }

  async function groom(): Promise<void> {
    const now = clock.now().getTime();
    const before = (days: number) => new Date(now - days * DAY_MS);
    observe('', 'dead', await giveUpOrphans(query, clock.now()));
    await groomNotifications(query, before(config.historyDays), before(Math.max(config.historyDays, KEEP_DEAD_DAYS)));
  }

  return {
    hook,
    service: createNotificationService({ ...deps, channels, subscriptions, dispatcher }),
    async start() {
      await dispatcher.start();
      resender.start();
      // When the database does not answer, openline_database_up says so.
      timers.push(
        every(CENSUS_MS, census, () => {}),
        every(GROOM_MS, groom, () => {}),
      );
      await census();
    },
    async stop(graceMs) {
      for (const timer of timers) timer.stop();
      resender.stop();
      await dispatcher.stop(graceMs);
    },
  };
}

function senderFor(spec: ChannelSpec, http: HttpDeps, commands: string | undefined): Sender {
  const { target, templates } = spec;
  switch (target.kind) {
    case 'smtp':
      return createSmtpSender(target, spec, http.resolveSecret);
    case 'webhook':
      return createWebhookSender(target, templates, http);
    case 'slack':
    case 'teams':
      return createChatSender(target, templates, http);
    case 'alertmanager':
      return createAlertmanagerSender(target, http);
    case 'command':
      return createCommandSender(target, spec, commands);
    default:
      return target satisfies never;
  }
}
