import { type AlertRow, toAlert } from '../alerts/rows.ts';
import type { Clock } from '../clock.ts';
import type { Query } from '../db/query.ts';
import type { Declared } from '../declared/declared.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { AlertmanagerTarget, ChannelSpec } from './channels/channel.ts';
import { alertsRequest } from './senders/alertmanager.ts';
import { type HttpDeps, request } from './senders/http-sender.ts';

/**
 * Says open alerts to Alertmanager again and again, as Prometheus does: it keeps none over its own restart, and takes for over what it no
 * longer hears of. Not through the outbox: the next time says it all again.
 */
export interface Resender {
  start(): void;
  stop(): void;
}

export interface ResenderDeps {
  readonly query: Query;
  readonly channels: Pick<Declared<ChannelSpec>, 'list'>;
  readonly clock: Clock;
  readonly http: HttpDeps;
  readonly log: Pick<Logger, 'warn'>;
}

const LOOK_MS = 5_000;
const BATCH = 500;

export function createResender({ query, channels, clock, http, log }: ResenderDeps): Resender {
  const lastMs = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;
  let busy = false;

  async function look(): Promise<void> {
    for (const { name, spec } of channels.list()) {
      const { target } = spec;
      if (target.kind !== 'alertmanager') continue;
      const last = lastMs.get(name);
      if (last === undefined) lastMs.set(name, clock.nowMs());
      if (last === undefined || clock.nowMs() - last < target.resendMs) continue;
      lastMs.set(name, clock.nowMs());
      await resend(name, target, spec.timeoutMs);
    }
  }

  async function resend(channel: string, target: AlertmanagerTarget, timeoutMs: number): Promise<void> {
    for (let after = 0; ; ) {
      const { rows } = await query<AlertRow>({
        name: 'notifications-resend',
        text: `select a.* from alerts a where a.closed_at is null and a.id > $2 and a.id in (
            select t.alert_id from notification_threads t left join notifications n on n.id = t.root_id
            where t.channel = $1 and (n.id is null or n.state in ('sent', 'uncertain')))
          order by a.id limit ${BATCH}`,
        values: [channel, after],
      });
      const last = rows.at(-1);
      if (last === undefined) return;
      after = last.id;
      const signal = AbortSignal.timeout(timeoutMs);
      const ask = () => alertsRequest(rows.map(toAlert), target, clock.now());
      const delivery = await request(target, http, ask, { signal, handOver: async () => {} });
      if (delivery.kind !== 'delivered') {
        log.warn({ channel, reason: delivery.reason }, 'open alerts could not be said again to Alertmanager');
        return;
      }
    }
  }

  return {
    start() {
      timer = setInterval(() => {
        if (busy) return;
        busy = true;
        look()
          .catch(() => {}) // the database is away; the next time says it
          .finally(() => {
            busy = false;
          });
      }, LOOK_MS);
    },
    stop: () => clearInterval(timer),
  };
}
