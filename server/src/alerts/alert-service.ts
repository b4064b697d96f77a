import { OpenlineError } from '@openline/proto/errors';
import type { Kysely } from 'kysely';
import type { Pool } from 'pg';
import type { AuditLog } from '../audit/audit.ts';
import type { Schema } from '../db/schema.ts';
import { storeErrors } from '../db/store-errors.ts';
import { inTransaction, type Tx } from '../db/transaction.ts';
import { hushMonitors } from '../events/event-store.ts';
import type { Alert, AlertChange } from './alert.ts';
import { type AlertFilter, readAlert, readAlerts } from './alert-queries.ts';
import type { AlertDesk } from './alerts.ts';
import type { AlertCommand } from './machine.ts';
import { watchAlerts } from './watch.ts';

export type { AlertFilter } from './alert-queries.ts';

/** What is to be said of an alert that somebody wanted to change. */
export interface AlertNote {
  readonly id: string;
  readonly note: string;
  /** It was changed all the same. */
  readonly changed: boolean;
}

export type AlertWatchItem =
  /** What matches now; in pieces. `first` begins anew: what was said before does not count any more. */
  | { readonly kind: 'snapshot'; readonly alerts: readonly Alert[]; readonly first: boolean; readonly last: boolean }
  /** `alert` is as it is now. @param matches false: it did before */
  | { readonly kind: 'update'; readonly change: AlertChange; readonly alert: Alert; readonly matches: boolean };

/** Alerts, for people. */
export interface AlertService {
  /** The newest first. @throws OpenlineError TARGETS_INVALID, REQUEST_INVALID */
  list(
    filter: AlertFilter,
    page: { limit: number; pageToken: string },
  ): Promise<{ alerts: Alert[]; nextPageToken: string }>;
  /** @throws OpenlineError ALERT_UNKNOWN */
  get(id: string): Promise<NonNullable<Awaited<ReturnType<typeof readAlert>>>>;
  /** @throws OpenlineError TARGETS_INVALID */
  watch(filter: AlertFilter, signal: AbortSignal): AsyncIterable<AlertWatchItem>;
  /** All of them or, when one is unknown, none; audited. @throws OpenlineError ALERT_UNKNOWN */
  act(
    by: { name: string },
    ids: readonly string[],
    command: AlertCommand,
  ): Promise<{ alerts: Alert[]; notes: AlertNote[] }>;
}

export interface AlertServiceDeps {
  readonly pool: Pool;
  readonly db: Kysely<Schema>;
  readonly desk: Pick<AlertDesk, 'command' | 'hub'>;
  readonly audit: AuditLog;
}

export function createAlertService({ pool, db, desk, audit }: AlertServiceDeps): AlertService {
  return {
    async list(filter, { limit, pageToken }) {
      const before = pageToken === '' ? undefined : alertNumber(pageToken);
      if (pageToken !== '' && before === undefined)
        throw new OpenlineError('REQUEST_INVALID', 'the page token is not one of ours');
      const found = await storeErrors(readAlerts(db, filter, { limit: limit + 1, before }));
      const alerts = found.slice(0, limit);
      return { alerts, nextPageToken: found.length > limit ? (alerts.at(-1)?.id ?? '') : '' };
    },

    async get(id) {
      const found = alertNumber(id) === undefined ? undefined : await storeErrors(readAlert(db, id));
      if (found === undefined) throw new OpenlineError('ALERT_UNKNOWN', `there is no alert «${id}»`);
      return found;
    },

    watch: (filter, signal) => watchAlerts({ db, hub: desk.hub }, filter, signal),

    act: (by, given, command) =>
      inTransaction(pool, async (tx) => {
        const ids = [...new Set(given)];
        await refuseUnknown(tx, ids);
        const ill = command.kind === 'close' ? await hush(tx, ids) : new Map<string, string>();
        const { alerts, unchanged } = await desk.command(ids, by.name, command, tx);
        const changed = alerts.map(({ id }) => id).filter((id) => !unchanged.has(id));
        if (changed.length > 0) {
          const { kind: action, ...details } = command;
          await audit.record(
            { principal: by.name, action: `alert.${action}`, object: changed.join(','), details },
            tx.db,
          );
        }
        const notes = ids.flatMap((id): AlertNote[] => {
          const note = unchanged.get(id) ?? ill.get(id);
          return note === undefined ? [] : [{ id, note, changed: !unchanged.has(id) }];
        });
        return { alerts: ids.flatMap((id) => alerts.find((alert) => alert.id === id) ?? []), notes };
      }),
  };
}

async function refuseUnknown(tx: Tx, ids: readonly string[]): Promise<void> {
  const numbers = ids.flatMap((id) => alertNumber(id) ?? []);
  const { rows } = await tx.query<{ id: number }>('select id from alerts where id = any($1)', [numbers]);
  const known = new Set(rows.map(({ id }) => String(id)));
  const unknown = ids.filter((id) => !known.has(id));
  if (unknown.length === 0) return;
  const which = unknown.slice(0, 5).map((id) => `«${id}»`);
  throw new OpenlineError('ALERT_UNKNOWN', `there is no alert ${which.join(', ')}; nothing was changed`);
}

/** Alerts of monitors that are ill: they raise no other until they were healthy, or got worse. @returns what to say of each */
async function hush(tx: Tx, ids: readonly string[]): Promise<Map<string, string>> {
  const { rows } = await tx.query<{ id: number; agent_id: string; agent_name: string; watch: string; key: string }>(
    `select id, agent_id, agent_name, watch, key from alerts where id = any($1) and kind = 'monitor' and closed_at is null`,
    [ids.map(Number)],
  );
  const monitors = rows.map((row) => {
    const [pack = '', monitor = ''] = row.watch.split('/', 2);
    return { id: String(row.id), agentName: row.agent_name, agentId: row.agent_id, pack, monitor, instance: row.key };
  });
  if (monitors.length === 0) return new Map();
  const ill = await hushMonitors(tx, monitors);
  return new Map(
    ill.flatMap(({ agentId, pack, monitor, instance, state }) => {
      const of = monitors.find(
        (m) => m.agentId === agentId && m.pack === pack && m.monitor === monitor && m.instance === instance,
      );
      if (of === undefined) return [];
      const what = `${pack}/${monitor}${instance === '' ? '' : ` (${instance})`} on ${of.agentName}`;
      return [
        [of.id, `${what} is still ${state}; it raises no other alert until it was healthy, or got worse`] as const,
      ];
    }),
  );
}

/** @returns undefined for what is no id of an alert */
export function alertNumber(id: string): number | undefined {
  return /^[1-9]\d{0,14}$/.test(id) ? Number(id) : undefined;
}
