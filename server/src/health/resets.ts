import { ServerMessage } from '@openline/proto/agent';
import type { Pool } from 'pg';
import type { Principal } from '../access/access.ts';
import type { AuditLog } from '../audit/audit.ts';
import type { Clock } from '../clock.ts';
import { createQuery } from '../db/query.ts';
import { inTransaction } from '../db/transaction.ts';
import { monitorStateNumber } from '../events/event.ts';
import { every } from '../every.ts';
import type { AgentLines } from '../runs/lines.ts';
import type { Logger } from '../telemetry/logger.ts';

export interface ResetRequest {
  readonly agentId: string;
  readonly agentName: string;
  readonly pack: string;
  readonly monitor: string;
  /** Empty: every instance. */
  readonly instance: string;
}

export interface ResetOutcome {
  /** False: none of its instances is ill. */
  readonly requested: boolean;
  /** The agent is away: it waits until then. */
  readonly waiting: boolean;
  readonly expiresAt: Date;
}

/** Resets of monitors by people. They wait for an agent that is away, and are said again until the monitor is no longer as it was. */
export interface Resets {
  request(by: Principal, reset: ResetRequest): Promise<ResetOutcome>;
  /** Looks which are done, over, or not said yet. Called by its own timer; tests call it themselves. */
  tick(): Promise<void>;
  stop(): void;
}

export interface ResetsDeps {
  readonly pool: Pool;
  readonly lines: Pick<AgentLines, 'isConnected' | 'sendControl'>;
  readonly audit: AuditLog;
  readonly clock: Clock;
  newId(): string;
  readonly log: Pick<Logger, 'error'>;
}

const WAIT_MS = 24 * 3600_000;
const TICK_MS = 5_000;
/**
 * A line may break just as it is said, and an agent that has just started may not watch yet. Saying it again does no harm as long as the
 * monitor is as it was.
 */
const SAY_AGAIN_MS = 10_000;
const MAX_AT_ONCE = 1_000;
/** How long those that are done or over are kept; the audit log has them for ever. */
const KEPT_MS = 7 * 24 * 3600_000;
const GROOM_EVERY_MS = 3600_000;

interface Row {
  id: string;
  agent_id: string;
  pack: string;
  monitor: string;
  instance: string;
  expires_at: Date;
  /** The state that it is to end still lasts. */
  lasts: boolean;
}

export function createResets({ pool, lines, audit, clock, newId, log }: ResetsDeps): Resets {
  const query = createQuery(pool);
  const HEALTHY = monitorStateNumber('healthy');
  const said = new Map<string, number>();
  let groomedMs = clock.nowMs();

  function say({
    id,
    agent_id,
    pack,
    monitor,
    instance,
  }: Pick<Row, 'id' | 'agent_id' | 'pack' | 'monitor' | 'instance'>): void {
    const value = { packName: pack, monitorName: monitor, instance };
    const bytes = ServerMessage.encode({ kind: { $case: 'resetMonitor', value } }).finish();
    lines.sendControl([agent_id], Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
    said.set(id, clock.nowMs());
  }

  const self: Resets = {
    async request(by, { agentId, agentName, pack, monitor, instance }) {
      const now = clock.now();
      const expiresAt = new Date(now.getTime() + WAIT_MS);
      const id = newId();
      const requested = await inTransaction(pool, async (tx) => {
        const { rows } = await tx.query<{ instance: string; since: Date }>(
          `select instance, since from monitor_states
           where agent_id = $1 and pack = $2 and monitor = $3 and ($4 = '' or instance = $4) and state <> $5`,
          [agentId, pack, monitor, instance, HEALTHY],
        );
        if (rows.length === 0) return false;
        await tx.query(
          `update monitor_resets set closed_at = $5, outcome = 'replaced'
           where agent_id = $1 and pack = $2 and monitor = $3 and instance = $4 and closed_at is null`,
          [agentId, pack, monitor, instance, now],
        );
        const ends = Object.fromEntries(rows.map((row) => [row.instance, row.since]));
        await tx.query(
          `insert into monitor_resets (id, agent_id, pack, monitor, instance, requested_by, requested_at, expires_at, ends)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
          [id, agentId, pack, monitor, instance, by.name, now, expiresAt, JSON.stringify(ends)],
        );
        const details = { agent: agentName, agentId, instance };
        await audit.record(
          { principal: by.name, action: 'monitor.reset', object: `${pack}/${monitor}`, details },
          tx.db,
        );
        return true;
      });
      const waiting = requested && !lines.isConnected(agentId);
      if (requested && !waiting) say({ id, agent_id: agentId, pack, monitor, instance });
      return { requested, waiting, expiresAt };
    },

    async tick() {
      const { rows } = await query<Row>({
        name: 'resets-open',
        text: `
          select r.id, r.agent_id, r.pack, r.monitor, r.instance, r.expires_at, exists (
            select 1 from monitor_states m
            where m.agent_id = r.agent_id and m.pack = r.pack and m.monitor = r.monitor and m.state <> $1
              and (r.ends ->> m.instance)::timestamptz = date_trunc('milliseconds', m.since)) as lasts
          from monitor_resets r where r.closed_at is null limit ${MAX_AT_ONCE}`,
        values: [HEALTHY],
      });
      const now = clock.now();
      const close = async (ids: readonly string[], outcome: 'done' | 'expired') => {
        if (ids.length === 0) return;
        await query('update monitor_resets set closed_at = $2, outcome = $3 where id = any($1)', [ids, now, outcome]);
      };
      const over = rows.filter(({ lasts, expires_at }) => lasts && expires_at <= now);
      const done = rows.filter(({ lasts }) => !lasts);
      await close(
        done.map(({ id }) => id),
        'done',
      );
      await close(
        over.map(({ id }) => id),
        'expired',
      );
      const open = rows.filter((row) => row.lasts && row.expires_at > now);
      const known = new Set(open.map(({ id }) => id));
      for (const id of said.keys()) if (!known.has(id)) said.delete(id);
      for (const row of open) {
        const againMs = (said.get(row.id) ?? Number.NEGATIVE_INFINITY) + SAY_AGAIN_MS;
        if (lines.isConnected(row.agent_id) && clock.nowMs() >= againMs) say(row);
      }
      if (clock.nowMs() - groomedMs < GROOM_EVERY_MS) return;
      await query('delete from monitor_resets where closed_at < $1', [new Date(now.getTime() - KEPT_MS)]);
      groomedMs = clock.nowMs();
    },

    stop: () => timer.stop(),
  };
  const timer = every(TICK_MS, self.tick, (error) =>
    log.error({ err: error }, 'resets of monitors could not be looked at; it is tried again'),
  );
  return self;
}
