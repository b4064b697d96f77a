import type { Pool } from 'pg';
import type { Alert, AlertChange } from './alert.ts';
import type { AlertRaise, MaintenanceOf } from './alerts.ts';
import { createAlertDesk } from './desk.ts';
import { createAlertHub } from './hub.ts';
import { type AlertRow, toAlert } from './rows.ts';

/** For tests of what raises, reads or answers alerts. */

export const AT = new Date('2026-01-01T00:00:00Z');

export async function enrol(pool: Pool, id: string, labels: Record<string, string> = {}, epoch = 1): Promise<void> {
  await pool.query(`insert into agents (id, name, enrolled_with, epoch, labels) values ($1, $1, 'test', $2, $3)`, [
    id,
    epoch,
    labels,
  ]);
}

export function testDesk(pool: Pool, maintenanceOf: MaintenanceOf = async () => new Map()) {
  const published: AlertChange[] = [];
  const hub = createAlertHub();
  hub.subscribe((changes) => published.push(...changes));
  const time = { now: AT };
  const desk = createAlertDesk({ pool, hub, maintenanceOf, clock: { now: () => time.now } });
  return { desk, hub, published, time };
}

export const raiseOf = (agentId: string, over: Partial<AlertRaise> = {}): AlertRaise => ({
  kind: 'raise',
  subject: { kind: 'rule', agentId, watch: 'p/r', key: '' },
  severity: 'warning',
  title: 'title',
  description: 'description',
  by: 'p/r',
  ...over,
});

export async function allAlerts(pool: Pool): Promise<Alert[]> {
  const { rows } = await pool.query<AlertRow>('select * from alerts order by id');
  return rows.map(toAlert);
}
