import type { Kysely } from 'kysely';
import type { Pool } from 'pg';
import { type AlertService, createAlertService } from './alerts/alert-service.ts';
import type { AlertDesk, MaintenanceOf } from './alerts/alerts.ts';
import { takeAlertCensus } from './alerts/census.ts';
import { createAlertDesk } from './alerts/desk.ts';
import { createAlertHub } from './alerts/hub.ts';
import { type AnswerRunner, startAnswerRunner } from './answers/answer-runner.ts';
import type { AuditLog } from './audit/audit.ts';
import type { Clock } from './clock.ts';
import { newId } from './db/ids.ts';
import type { Schema } from './db/schema.ts';
import { createEventDesk, type EventDesk } from './events/event-desk.ts';
import { createEventObserver } from './events/event-observer.ts';
import { createEventReader, type EventReader } from './events/event-reader.ts';
import { type GroomerConfig, startGroomer } from './events/groomer.ts';
import { createTakeIn } from './events/take-in.ts';
import type { PackService } from './packs/pack-service.ts';
import type { RunHub } from './runs/hub.ts';
import type { RunService } from './runs/run-service.ts';
import type { Logger } from './telemetry/logger.ts';
import type { Metrics } from './telemetry/metrics.ts';

export interface WatchingDeps {
  readonly pool: Pool;
  readonly db: Kysely<Schema>;
  readonly audit: AuditLog;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly packs: Pick<PackService, 'list'>;
  readonly maintenanceOf: MaintenanceOf;
  /** Everything of the agent's event spool up to and with `seq` is durable. */
  eventsDurable(agentId: string, spoolId: string, seq: number): void;
}

/** What agents observe, the alerts that come of it, and what is run in answer. */
export interface Watching {
  readonly alerts: AlertDesk;
  readonly events: EventDesk;
  readonly alertService: AlertService;
  readonly eventReader: EventReader;
  /** It was revoked or deleted: nothing of it is open any more. */
  agentGone(agentId: string, reason: string): Promise<void>;
  /** Sets the gauges that are read off the database. */
  census(): Promise<void>;
  startGroomer(config: GroomerConfig): { stop(): Promise<void> };
  /** From now on answers are run. */
  startAnswers(runs: Pick<RunService, 'submit' | 'get' | 'readOutput'>, hub: RunHub): AnswerRunner;
}

/** Wires these domains together. */
export function createWatching(deps: WatchingDeps): Watching {
  const { pool, db, audit, clock, log, metrics, packs } = deps;
  const alertHub = createAlertHub();
  const alerts = createAlertDesk({ pool, clock, hub: alertHub, maintenanceOf: deps.maintenanceOf });
  let answers: AnswerRunner | undefined;
  const readers = new Set<() => void>();

  alertHub.subscribe((changes) => {
    for (const { kind, alert } of changes) {
      if (kind === 'raised') metrics.alertsRaised.with({ kind: alert.subject.kind, severity: alert.severity }).inc();
    }
  });
  const events = createEventDesk({
    takeIn: createTakeIn({ pool, alerts, clock, newId }),
    clock,
    acknowledge: deps.eventsDurable,
    answersDue: () => answers?.kick(),
    stored() {
      for (const ring of readers) ring();
    },
    onFault: (what, error, details) => log.error({ err: error, ...details }, `${what} failed; it is tried again`),
    observe: createEventObserver(metrics, packs),
  });

  return {
    alerts,
    events,
    alertService: createAlertService({ pool, db, desk: alerts, audit }),
    eventReader: createEventReader({
      db,
      clock,
      onStored(listener) {
        readers.add(listener);
        return () => readers.delete(listener);
      },
    }),
    async agentGone(agentId, reason) {
      await db.deleteFrom('monitor_states').where('agent_id', '=', agentId).execute();
      await alerts.closeOf(agentId, 'openline', reason);
    },
    census: () => takeAlertCensus(db, metrics),
    startGroomer: (config) =>
      startGroomer(
        {
          pool,
          clock,
          onFailure: (error) => log.error({ err: error }, 'old events and alerts could not be deleted'),
        },
        config,
      ),
    startAnswers(runs, hub) {
      answers = startAnswerRunner({
        pool,
        runs,
        hub,
        alerts,
        clock,
        newId,
        onFailure: (error, answer) =>
          log.error(
            { err: error, answer: answer?.id, watch: answer?.watch },
            'an answer could not go on; it is tried again',
          ),
        observe: (kind, outcome) => metrics.answers.with({ kind, outcome }).inc(),
      });
      return answers;
    },
  };
}
