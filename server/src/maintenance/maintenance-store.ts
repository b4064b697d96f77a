import type { Pool } from 'pg';
import type { AlertChange, AlertSubject } from '../alerts/alert.ts';
import { createQuery, type Query } from '../db/query.ts';
import type { Tx } from '../db/transaction.ts';
import type { Maintenance, SuppressedAlert } from './maintenance.ts';

export type NewMaintenance = Omit<Maintenance, 'endedAt' | 'endedBy'>;

interface Row {
  id: string;
  window_name: string;
  selector: string;
  reason: string;
  started_by: string;
  created_at: Date;
  starts_at: Date;
  ends_at: Date;
  ended_at: Date | null;
  ended_by: string;
  suppressed: number;
}

export interface StoredMaintenance {
  readonly maintenance: Maintenance;
  readonly suppressed: number;
}

export interface MaintenanceStore {
  /** @returns false: this occurrence of its window is there already */
  insert(maintenance: NewMaintenance, tx?: Tx): Promise<boolean>;
  /** Those that have not ended. */
  open(): Promise<Maintenance[]>;
  /** Newest first. @param beforeId of the page before */
  list(query: { ended: boolean; limit: number; beforeId: string | undefined }): Promise<StoredMaintenance[]>;
  get(id: string): Promise<StoredMaintenance | undefined>;
  /** @returns false: it has ended meanwhile */
  end(id: string, at: Date, by: string, tx?: Tx): Promise<boolean>;
  /** @returns false: it has ended meanwhile */
  move(id: string, endsAt: Date, tx?: Tx): Promise<boolean>;
  reword(id: string, on: string, reason: string): Promise<void>;
  suppressedBy(id: string, limit: number): Promise<SuppressedAlert[]>;
  /** Open alerts that still carry a maintenance. @param agentIds undefined: of all agents. */
  carrying(agentIds: readonly string[] | undefined): Promise<AlertSubject[]>;
  groom(endedBefore: Date): Promise<void>;
}

export function createMaintenanceStore(pool: Pool): MaintenanceStore {
  const query = createQuery(pool);
  const on = (tx: Tx | undefined): Query => tx?.query ?? query;
  const SELECT = `select m.*, (select count(*) from maintenance_alerts a where a.maintenance_id = m.id) as suppressed
    from maintenances m`;

  return {
    async insert(m, tx) {
      const { rowCount } = await on(tx)(
        `insert into maintenances (id, window_name, selector, reason, started_by, created_at, starts_at, ends_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing`,
        [m.id, m.window, m.on, m.reason, m.startedBy, m.createdAt, m.startsAt, m.endsAt],
      );
      return rowCount === 1;
    },

    async open() {
      const { rows } = await query<Row>('select *, 0 as suppressed from maintenances where ended_at is null');
      return rows.map(toMaintenance);
    },

    async list({ ended, limit, beforeId }) {
      const { rows } = await query<Row>(
        `${SELECT} where ($1 or ended_at is null) and ($2::text is null or id < $2) order by id desc limit $3`,
        [ended, beforeId ?? null, limit],
      );
      return rows.map(toStored);
    },

    async get(id) {
      const { rows } = await query<Row>(`${SELECT} where id = $1`, [id]);
      return rows[0] && toStored(rows[0]);
    },

    async end(id, at, by, tx) {
      const { rowCount } = await on(tx)(
        'update maintenances set ended_at = $2, ended_by = $3 where id = $1 and ended_at is null',
        [id, at, by],
      );
      return rowCount === 1;
    },

    async move(id, endsAt, tx) {
      const { rowCount } = await on(tx)('update maintenances set ends_at = $2 where id = $1 and ended_at is null', [
        id,
        endsAt,
      ]);
      return rowCount === 1;
    },

    async reword(id, selector, reason) {
      await query('update maintenances set selector = $2, reason = $3 where id = $1', [id, selector, reason]);
    },

    async suppressedBy(id, limit) {
      const { rows } = await query<
        SubjectRow & { id: number; agent_name: string; title: string; first_at: Date; closed: boolean }
      >(
        `select a.id, kind, agent_id, watch, key, agent_name, title, first_at, closed_at is not null as closed
         from maintenance_alerts s join alerts a on a.id = s.alert_id where s.maintenance_id = $1 order by a.id limit $2`,
        [id, limit],
      );
      return rows.map((row) => ({
        id: String(row.id),
        subject: toSubject(row),
        agentName: row.agent_name,
        title: row.title,
        raisedAt: row.first_at,
        closed: row.closed,
      }));
    },

    async carrying(agentIds) {
      const { rows } = await query<SubjectRow>(
        `select kind, agent_id, watch, key from alerts
         where closed_at is null and maintenance_id <> '' and ($1::text[] is null or agent_id = any($1))`,
        [agentIds ?? null],
      );
      return rows.map(toSubject);
    },

    async groom(endedBefore) {
      await query('delete from maintenances where ended_at < $1', [endedBefore]);
    },
  };
}

/** For the hook of the alerts: writes which alerts were raised under which maintenance. */
export async function recordSuppressed(tx: Tx, changes: readonly AlertChange[]): Promise<void> {
  const raised = changes.filter(({ kind, alert }) => kind === 'raised' && alert.maintenanceId !== '');
  if (raised.length === 0) return;
  await tx.query({
    name: 'maintenance-suppressed',
    text: `insert into maintenance_alerts (maintenance_id, alert_id)
      select s.* from unnest($1::text[], $2::bigint[]) as s(maintenance_id, alert_id)
      where exists (select 1 from maintenances m where m.id = s.maintenance_id)`,
    values: [raised.map(({ alert }) => alert.maintenanceId), raised.map(({ alert }) => alert.id)],
  });
}

interface SubjectRow {
  kind: AlertSubject['kind'];
  agent_id: string;
  watch: string;
  key: string;
}

function toSubject({ kind, agent_id, watch, key }: SubjectRow): AlertSubject {
  return { kind, agentId: agent_id, watch, key };
}

function toStored(row: Row): StoredMaintenance {
  return { maintenance: toMaintenance(row), suppressed: row.suppressed };
}

function toMaintenance(row: Row): Maintenance {
  return {
    id: row.id,
    window: row.window_name,
    on: row.selector,
    reason: row.reason,
    startedBy: row.started_by,
    createdAt: row.created_at,
    startsAt: row.starts_at,
    endsAt: row.ends_at,
    endedAt: row.ended_at ?? undefined,
    endedBy: row.ended_by,
  };
}
