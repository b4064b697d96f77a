import { OpenlineError } from '@openline/proto/errors';
import type { Pool } from 'pg';
import type { AgentService } from '../agents/agents.ts';
import { parseSelector } from '../agents/selector.ts';
import type { AlertAction, AlertDesk } from '../alerts/alerts.ts';
import type { AuditLog } from '../audit/audit.ts';
import type { Clock } from '../clock.ts';
import { inTransaction } from '../db/transaction.ts';
import type { Declared, DeclaredObject } from '../declared/declared.ts';
import { every } from '../every.ts';
import type { Logger } from '../telemetry/logger.ts';
import {
  type Maintenance,
  type MaintenanceChange,
  type MaintenanceService,
  type MaintenanceView,
  phaseOf,
} from './maintenance.ts';
import type { MaintenanceStore, StoredMaintenance } from './maintenance-store.ts';
import { Members } from './members.ts';
import { MAX_MAINTENANCE_MS, type MaintenanceWindowSpec, nextOccurrence, occurrenceAt } from './window.ts';

export interface MaintenanceDeps {
  readonly pool: Pool;
  readonly store: MaintenanceStore;
  readonly agents: Pick<AgentService, 'candidates'>;
  readonly windows: Pick<Declared<MaintenanceWindowSpec>, 'list' | 'get' | 'onChange'>;
  readonly desk: Pick<AlertDesk, 'apply'>;
  readonly audit: AuditLog;
  readonly clock: Clock;
  newId(): string;
  readonly log: Pick<Logger, 'info' | 'error'>;
}

export interface MaintenanceConfig {
  /** How long ended ones are kept. */
  readonly historyMs: number;
}

const TICK_MS = 1_000;
/** What another replica, or a person in the database, has changed is seen within this time. */
const REFRESH_MS = 5_000;
/** Whom each selects is asked anew: labels are pinned, agents are enrolled. */
const MEMBERS_MS = 60_000;
const GROOM_MS = 3_600_000;
/** Looked at again at least this often, so that no date is so far that a timer could not hold it. */
const MIN_MS = 1_000;
const SHOWN_AGENTS = 1_000;
const SHOWN_ALERTS = 1_000;

/** What is open is known before this resolves. @throws OpenlineError STORE_UNAVAILABLE */
export async function createMaintenanceService(
  deps: MaintenanceDeps,
  { historyMs }: MaintenanceConfig,
): Promise<MaintenanceService> {
  const { pool, store, agents, windows, desk, audit, clock, newId, log } = deps;
  const members = new Members();
  const listeners: ((change: MaintenanceChange) => void)[] = [];
  let open: readonly Maintenance[] = [];
  let refreshedMs = Number.NEGATIVE_INFINITY;
  let membersMs = Number.NEGATIVE_INFINITY;
  let groomedMs = clock.nowMs();
  /** Agents in no maintenance any more, whose open alerts have not surfaced. */
  const surfacing = new Set<string>();
  /** It may be any agent: this process has just started, or somebody raised an alert just as the maintenance ended. */
  let surfacingAny = true;
  /** When the next occurrence of each window begins. */
  const nextStarts = new Map<string, Date | undefined>();
  let windowsChanged = true;
  let tickedAt = new Date(0);
  windows.onChange(() => {
    windowsChanged = true;
  });

  async function refresh(): Promise<void> {
    open = await store.open();
    refreshedMs = clock.nowMs();
    await settle();
  }

  async function settle(): Promise<void> {
    for (const maintenance of members.setOpen(open, clock.now())) await ask(maintenance);
    tell();
  }

  async function ask(maintenance: Maintenance): Promise<void> {
    const selected = await agents.candidates(maintenance.on, []);
    members.setAgents(
      maintenance,
      selected.map(({ id }) => id),
    );
  }

  function tell(): void {
    const change = members.settle();
    for (const id of change.left) surfacing.add(id);
    if (change.entered.length + change.left.length === 0) return;
    for (const listener of listeners) listener(change);
  }

  /** Alerts that are open still, though nothing suppresses them any more. Lines are looked at anew by those who watch them. */
  async function surface(): Promise<void> {
    const asked = [...surfacing];
    const any = surfacingAny;
    if (asked.length === 0 && !any) return;
    const subjects = await store.carrying(any ? undefined : asked);
    const actions = subjects
      .filter(
        ({ kind, watch, agentId }) => !(kind === 'line' && watch === 'agent') && members.of(agentId) === undefined,
      )
      .map(
        (subject): AlertAction => ({
          kind: 'surface',
          subject,
          by: 'maintenance',
          comment: 'the maintenance is over, and it is still open',
        }),
      );
    await desk.apply(actions);
    if (any) surfacingAny = false;
    for (const id of asked) surfacing.delete(id);
  }

  /** What windows were changed or deleted means for their occurrences that last. */
  async function followWindows(now: Date): Promise<void> {
    windowsChanged = false;
    nextStarts.clear();
    for (const maintenance of open.filter(({ window }) => window !== '')) {
      const spec = windows.get(maintenance.window)?.spec;
      const same = spec && occurrenceAt(spec, maintenance.startsAt)?.startsAt.getTime();
      if (spec === undefined || same !== maintenance.startsAt.getTime())
        await store.end(maintenance.id, now, `window/${maintenance.window}`);
      else if (spec.on.text !== maintenance.on || spec.reason !== maintenance.reason)
        await store.reword(maintenance.id, spec.on.text, spec.reason);
    }
    await refresh();
  }

  async function beginOccurrences(now: Date): Promise<void> {
    let begun = false;
    for (const { name, spec, updatedBy } of windows.list()) {
      const next = nextStarts.get(name);
      if (nextStarts.has(name) && (next === undefined || next > now)) continue;
      const occurrence = occurrenceAt(spec, now);
      if (occurrence !== undefined) {
        const maintenance = {
          ...occurrence,
          id: newId(),
          window: name,
          on: spec.on.text,
          reason: spec.reason,
          startedBy: updatedBy,
          createdAt: now,
        };
        if (await store.insert(maintenance)) {
          begun = true;
          log.info({ window: name, endsAt: occurrence.endsAt }, 'a maintenance window begins');
        }
      }
      nextStarts.set(name, nextOccurrence(spec, now)?.startsAt);
    }
    if (begun) await refresh();
  }

  async function endThoseOver(now: Date): Promise<void> {
    const over = open.filter(({ endsAt }) => endsAt <= now);
    for (const { id, endsAt } of over) await store.end(id, endsAt, '');
    if (over.length > 0) await refresh();
  }

  function viewOf({ maintenance, suppressed }: StoredMaintenance): MaintenanceView {
    return {
      maintenance,
      phase: phaseOf(maintenance, clock.now()),
      agents: members.countOf(maintenance.id),
      suppressed,
    };
  }

  async function known(id: string): Promise<StoredMaintenance> {
    const found = await store.get(id);
    if (found === undefined) throw new OpenlineError('MAINTENANCE_UNKNOWN', `there is no maintenance «${id}»`);
    return found;
  }

  async function openOne(id: string): Promise<Maintenance> {
    const { maintenance } = await known(id);
    if (phaseOf(maintenance, clock.now()) === 'ended')
      throw new OpenlineError('REQUEST_INVALID', `maintenance «${id}» has ended`);
    return maintenance;
  }

  const self: MaintenanceService = {
    async start(by, { on, forMs, reason, startsAt }) {
      parseSelector(on);
      const now = clock.now();
      const begins = startsAt ?? now;
      if (!(forMs >= MIN_MS && forMs <= MAX_MAINTENANCE_MS))
        throw new OpenlineError('REQUEST_INVALID', 'a maintenance lasts from 1 second to 90 days');
      if (begins.getTime() + forMs <= now.getTime())
        throw new OpenlineError('REQUEST_INVALID', 'it would be over already');
      if (begins.getTime() > now.getTime() + 2 * MAX_MAINTENANCE_MS)
        throw new OpenlineError('REQUEST_INVALID', 'it would begin in more than 180 days; declare a MaintenanceWindow');
      const selected = await agents.candidates(on, []);
      if (selected.length === 0) throw new OpenlineError('NO_TARGETS', `no agent matches «${on}»`);
      const maintenance = {
        id: newId(),
        window: '',
        on,
        reason,
        startedBy: by.name,
        createdAt: now,
        startsAt: begins,
        endsAt: new Date(begins.getTime() + forMs),
      };
      await inTransaction(pool, async (tx) => {
        await store.insert(maintenance, tx);
        const details = { on, reason, agents: selected.length, startsAt: begins, endsAt: maintenance.endsAt };
        await audit.record({ principal: by.name, action: 'maintenance.start', object: maintenance.id, details }, tx.db);
      });
      await refresh();
      return viewOf(await known(maintenance.id));
    },

    async end(by, id) {
      const { on } = await openOne(id);
      await inTransaction(pool, async (tx) => {
        if (!(await store.end(id, clock.now(), by.name, tx))) return;
        await audit.record({ principal: by.name, action: 'maintenance.end', object: id, details: { on } }, tx.db);
      });
      await refresh();
      await surface();
      return viewOf(await known(id));
    },

    async extend(by, id, byMs) {
      const { startsAt, endsAt } = await openOne(id);
      const later = new Date(endsAt.getTime() + byMs);
      if (later.getTime() - startsAt.getTime() > MAX_MAINTENANCE_MS)
        throw new OpenlineError('REQUEST_INVALID', 'it would last longer than 90 days');
      await inTransaction(pool, async (tx) => {
        if (!(await store.move(id, later, tx)))
          throw new OpenlineError('REQUEST_INVALID', `maintenance «${id}» has ended`);
        await audit.record(
          { principal: by.name, action: 'maintenance.extend', object: id, details: { endsAt: later } },
          tx.db,
        );
      });
      await refresh();
      return viewOf(await known(id));
    },

    async list({ ended, limit, pageToken }) {
      const found = await store.list({ ended, limit, beforeId: pageToken === '' ? undefined : pageToken });
      return {
        maintenances: found.map(viewOf),
        nextPageToken: found.length < limit ? '' : (found.at(-1)?.maintenance.id ?? ''),
        upcoming: pageToken === '' ? upcomingOf(windows.list(), clock.now()) : [],
      };
    },

    async get(id) {
      const found = await known(id);
      const view = viewOf(found);
      const ids = [...members.agentsOf(id)].slice(0, SHOWN_AGENTS);
      const names =
        view.phase === 'scheduled'
          ? (await agents.candidates(found.maintenance.on, [])).slice(0, SHOWN_AGENTS)
          : await agents.candidates(ids, []);
      return { ...view, names: names.map(({ name }) => name), alerts: await store.suppressedBy(id, SHOWN_ALERTS) };
    },

    of(agentIds) {
      const found = new Map<string, string>();
      for (const agentId of agentIds) {
        const id = members.of(agentId);
        if (id !== undefined) found.set(agentId, id);
      }
      return found;
    },

    hello(agent) {
      members.hello(agent);
      tell();
    },

    onChange: (listener) => void listeners.push(listener),

    async tick() {
      const now = clock.now();
      const nowMs = clock.nowMs();
      if (nowMs - refreshedMs >= REFRESH_MS) await refresh();
      if (windowsChanged) await followWindows(now);
      // The clock was set back: what was to come next then need not be what comes next now.
      if (now < tickedAt) nextStarts.clear();
      tickedAt = now;
      await beginOccurrences(now);
      await endThoseOver(now);
      // One that was scheduled begins without any other change.
      await settle();
      if (nowMs - membersMs >= MEMBERS_MS) {
        for (const maintenance of open) if (phaseOf(maintenance, now) === 'active') await ask(maintenance);
        tell();
        surfacingAny = true;
        membersMs = nowMs;
      }
      await surface();
      if (nowMs - groomedMs >= GROOM_MS) {
        await store.groom(new Date(now.getTime() - historyMs));
        groomedMs = nowMs;
      }
    },

    stop: () => timer.stop(),
  };

  await refresh();
  const timer = every(TICK_MS, self.tick, (error) =>
    // What is known goes on holding while the database does not answer.
    log.error({ err: error }, 'maintenance could not be looked at; it is tried again'),
  );
  return self;
}

/** What has no id yet, and selects whoever is there by then. */
function upcomingOf(windows: readonly DeclaredObject<MaintenanceWindowSpec>[], now: Date): MaintenanceView[] {
  const views = windows.flatMap(({ name, spec, updatedBy, updatedAt }): MaintenanceView[] => {
    const next = nextOccurrence(spec, now);
    if (next === undefined) return [];
    const { on, reason } = spec;
    const by = { startedBy: updatedBy, createdAt: updatedAt, endedAt: undefined, endedBy: '' };
    const maintenance = { id: '', window: name, on: on.text, reason, ...by, ...next };
    return [{ maintenance, phase: 'scheduled', agents: 0, suppressed: 0 }];
  });
  return views.sort((a, b) => a.maintenance.startsAt.getTime() - b.maintenance.startsAt.getTime());
}
