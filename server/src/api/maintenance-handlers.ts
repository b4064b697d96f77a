import { type Maintenance, MaintenancePhase, type MaintenanceServiceService } from '@openline/proto/operator-health';
import { z } from 'zod';
import type { MaintenanceService, MaintenanceView, Phase } from '../maintenance/maintenance.ts';
import { name, pageLimit, readRequest, text } from './fields.ts';
import type { Handlers } from './serve.ts';
import { unixMs } from './times.ts';

export interface MaintenanceDeps {
  readonly maintenance: Pick<MaintenanceService, 'start' | 'end' | 'extend' | 'list' | 'get'>;
}

const MAX_UNIX_MS = 253_402_300_799_000n;
const ms = z
  .bigint()
  .refine((value) => value > 0n && value <= BigInt(Number.MAX_SAFE_INTEGER), 'not a length of time')
  .transform(Number);
const ById = z.object({ id: name('give the id of a maintenance', 64) });
const Start = z.object({
  targets: name('say which agents, e.g. role=web or name=web-1', 64 * 1024),
  forMs: ms,
  reason: text(1_000),
  startsUnixMs: z
    .bigint()
    .refine((value) => value >= 0n && value < MAX_UNIX_MS, 'not a time')
    .transform((value) => (value === 0n ? undefined : new Date(Number(value)))),
});
const Extend = z.object({ id: name('give the id of a maintenance', 64), byMs: ms });
const List = z.object({ includeEnded: z.boolean(), limit: pageLimit(), pageToken: text(64) });

const PHASE = {
  scheduled: MaintenancePhase.MAINTENANCE_PHASE_SCHEDULED,
  active: MaintenancePhase.MAINTENANCE_PHASE_ACTIVE,
  ended: MaintenancePhase.MAINTENANCE_PHASE_ENDED,
} as const satisfies Record<Phase, MaintenancePhase>;

export function maintenanceHandlers({ maintenance }: MaintenanceDeps): Handlers<typeof MaintenanceServiceService> {
  return {
    async startMaintenance(request, { principal }) {
      const { targets, forMs, reason, startsUnixMs } = readRequest(Start, request);
      const view = await maintenance.start(principal, { on: targets, forMs, reason, startsAt: startsUnixMs });
      return { maintenance: messageOf(view) };
    },
    async endMaintenance(request, { principal }) {
      return { maintenance: messageOf(await maintenance.end(principal, readRequest(ById, request).id)) };
    },
    async extendMaintenance(request, { principal }) {
      const { id, byMs } = readRequest(Extend, request);
      return { maintenance: messageOf(await maintenance.extend(principal, id, byMs)) };
    },
    async listMaintenances(request) {
      const { includeEnded, limit, pageToken } = readRequest(List, request);
      const found = await maintenance.list({ ended: includeEnded, limit, pageToken });
      return {
        maintenances: found.maintenances.map(messageOf),
        nextPageToken: found.nextPageToken,
        upcoming: found.upcoming.map(messageOf),
      };
    },
    async getMaintenance(request) {
      const { names, alerts, ...view } = await maintenance.get(readRequest(ById, request).id);
      return {
        maintenance: messageOf(view),
        agentNames: [...names],
        alerts: alerts.map(({ id, agentName, subject, title, raisedAt, closed }) => ({
          id,
          agentName,
          watch: subject.watch,
          title,
          raisedUnixMs: unixMs(raisedAt),
          closed,
        })),
      };
    },
  };
}

function messageOf({ maintenance, phase, agents, suppressed }: MaintenanceView): Maintenance {
  return {
    id: maintenance.id,
    window: maintenance.window,
    targets: maintenance.on,
    reason: maintenance.reason,
    startedBy: maintenance.startedBy,
    phase: PHASE[phase],
    createdUnixMs: unixMs(maintenance.createdAt),
    startsUnixMs: unixMs(maintenance.startsAt),
    endsUnixMs: unixMs(maintenance.endsAt),
    endedUnixMs: unixMs(maintenance.endedAt),
    endedBy: maintenance.endedBy,
    agents,
    suppressed,
  };
}
