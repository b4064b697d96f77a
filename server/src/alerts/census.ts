import { SEVERITIES } from '@openline/packs';
import type { Kysely } from 'kysely';
import type { Schema } from '../db/schema.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { countAlerts } from './alert-queries.ts';

const OPEN_STATES = ['new', 'acknowledged'] as const;

/** Sets openline_alerts_open. */
export async function takeAlertCensus(db: Kysely<Schema>, { alertsOpen }: Metrics): Promise<void> {
  const counts = await countAlerts(db);
  for (const severity of SEVERITIES) {
    for (const state of OPEN_STATES) {
      const found = counts.find((each) => each.severity === severity && each.state === state);
      alertsOpen.with({ severity, state }).set(found?.count ?? 0);
    }
  }
}
