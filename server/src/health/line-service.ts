import type { Heartbeat } from '@openline/proto/agent';
import type { Pool } from 'pg';
import type { Attributes } from '../agents/selector.ts';
import type { AlertDesk } from '../alerts/alerts.ts';
import type { Clock } from '../clock.ts';
import type { AgentPolicy } from '../policy/policies.ts';
import type { CloseCode } from '../sessions/session.ts';
import type { LineWatcher } from '../sessions/watcher.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { GroupRef, Line, LineAgent, Loss } from './line.ts';
import { outageSubject, subjectOf } from './line-alert.ts';
import { LineFlush } from './line-flush.ts';
import type { LineStore } from './line-store.ts';
import { Lines, type LinesPolicy } from './lines.ts';
import { Lookout } from './lookout.ts';
import type { Outage } from './outages.ts';
import { judge, PARTS, type Part, type PartState, problemOf } from './parts.ts';
import type { Prober } from './probes.ts';

export interface LineServiceDeps {
  readonly pool: Pool;
  readonly store: LineStore;
  readonly desk: Pick<AlertDesk, 'apply' | 'open'>;
  readonly prober: Prober;
  policyOf(agent: Attributes): AgentPolicy;
  /** The groups that an agent may be lost with. */
  groupsOf(agent: Attributes): readonly GroupRef[];
  inMaintenance(agentId: string): boolean;
  /** Whether the database answers. */
  ping(): Promise<void>;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'error' | 'warn' | 'info'>;
  /** @param diagnosis a verdict, or the part that does not work */
  alertRaised(diagnosis: string): void;
}

export interface LineService extends LineWatcher {
  get(agentId: string): Line | undefined;
  all(): Iterable<Line>;
  /** The outage of a group, "label=value", while it lasts. */
  outageOf(key: string): Outage | undefined;
  /** What does not work of an agent that is connected. */
  problemsOf(agentId: string): { readonly part: Part; readonly problem: string }[];
  /** Revoked or deleted. */
  gone(agentId: string): void;
  /** Their policies or groups may be others. */
  changed(agents: readonly Attributes[]): void;
  maintenance(change: { readonly entered: readonly string[]; readonly left: readonly string[] }): void;
  /** Rises with every change. */
  readonly version: number;
  /** Looks at the clock. Called by its own timer; tests call it themselves. */
  tick(): Promise<void>;
  stop(): Promise<void>;
}

const TICK_MS = 1_000;
/** A database that takes longer to say anything is away. */
const PING_MS = 2_000;
/** A node that was down may be there by now, without its agent. */
const LOOK_AGAIN_MS = 30_000;
const LOOK_AGAIN_CHECK_MS = 5_000;
const PAGE = 1_000;

/** What a restart must know is known before this resolves. @throws OpenlineError STORE_UNAVAILABLE */
export async function createLineService(deps: LineServiceDeps, policy: LinesPolicy): Promise<LineService> {
  const { store, desk, clock, log } = deps;
  const lines = new Lines(policy);
  /** Only of agents that have something to say. */
  const parts = new Map<string, Partial<Record<Part, PartState>>>();
  let partsVersion = 0;
  let asked: { readonly sinceMs: number } | undefined;
  let answers = true;
  let lookedAgainMs = clock.nowMs();
  let failing = false;

  const partOf = (agentId: string, part: Part) => parts.get(agentId)?.[part];
  const flush = new LineFlush({
    pool: deps.pool,
    desk,
    store,
    lines,
    partOf,
    nowMs: () => clock.nowMs(),
    raised: deps.alertRaised,
  });
  const lookout = new Lookout({
    prober: deps.prober,
    targets: (ids) => store.targets(ids),
    clock,
    found: (agentId, evidence) => lines.found(agentId, evidence),
    onFailure: (error) => log.warn({ err: error }, 'nodes of lost lines could not be looked at'),
  });

  function lineAgentOf(agent: Attributes, { heartbeat }: AgentPolicy): LineAgent {
    return { id: agent.id, name: agent.name, groups: deps.groupsOf(agent), heartbeat };
  }

  async function load(): Promise<void> {
    const now = { ms: clock.nowMs(), unixMs: clock.now().getTime() };
    const saved = new Map((await store.saved()).map((line) => [line.agentId, line]));
    // Told of, also where a person has closed the alert since: then it stays closed.
    for (const { agentId, cover } of saved.values()) {
      if (cover?.kind === 'own') flush.known({ subject: subjectOf(agentId, 'agent') });
      else if (cover?.kind === 'outage') flush.known({ subject: outageSubject(cover.key) });
    }
    const open = await desk.open('line');
    for (const alert of open) {
      flush.known(alert);
      const { agentId, watch } = alert.subject;
      const loss: Loss = { ended: 'unseen', why: '', sinceUnixMs: alert.firstAt.getTime() };
      const cover = { kind: 'own', suppressed: alert.maintenanceId !== '' } as const;
      if (watch === 'agent' && !saved.has(agentId)) saved.set(agentId, { agentId, loss, cover, verdict: 'unknown' });
      const part = PARTS.find((each) => each === watch);
      if (part !== undefined) setPart(agentId, part, { kind: 'bad', problem: alert.description });
    }
    for (let afterId = ''; ; ) {
      const page = await store.known(afterId, PAGE);
      for (const { agent, seenAt } of page) {
        const about = { seenUnixMs: seenAt.getTime(), maintained: deps.inMaintenance(agent.id) };
        lines.load(lineAgentOf(agent, deps.policyOf(agent)), about, saved.get(agent.id), now);
      }
      const last = page.at(-1);
      if (last === undefined || page.length < PAGE) break;
      afterId = last.agent.id;
    }
    // Alerts of agents that were revoked, or groups that came back, while no server was there.
    for (const { subject } of open) {
      if (subject.watch === 'group') lines.changedOutages.add(subject.key);
      else if (lines.get(subject.agentId) === undefined) {
        lines.changedLines.add(subject.agentId);
        parts.delete(subject.agentId);
        flush.changedParts.add(subject.agentId);
      }
    }
    lines.hold(now.ms);
  }

  function setPart(agentId: string, part: Part, state: PartState | undefined): void {
    const known = { ...parts.get(agentId) };
    if (state === undefined) delete known[part];
    else known[part] = state;
    if (Object.keys(known).length === 0) parts.delete(agentId);
    else parts.set(agentId, known);
  }

  /** Agents cannot come back while their sessions cannot be stored: then nothing that is missing counts. */
  function askStore(nowMs: number): void {
    if (asked !== undefined) {
      if (nowMs - asked.sinceMs > PING_MS) answers = false;
    } else {
      asked = { sinceMs: nowMs };
      deps
        .ping()
        .then(
          () => {
            answers = true;
          },
          () => {
            answers = false;
          },
        )
        .finally(() => {
          asked = undefined;
        });
    }
    if (!answers) lines.hold(nowMs);
  }

  const self: LineService = {
    get: (agentId) => lines.get(agentId),
    all: () => lines.all(),
    outageOf: (key) => lines.outage(key),
    problemsOf: (agentId) =>
      PARTS.flatMap((part) => {
        const state = partOf(agentId, part);
        return state === undefined || state.kind === 'suspect' ? [] : [{ part, problem: state.problem }];
      }),
    get version() {
      return lines.version + partsVersion;
    },

    opened(agent, agentPolicy) {
      lines.opened(lineAgentOf(agent, agentPolicy));
      lines.maintain(agent.id, deps.inMaintenance(agent.id), clock.nowMs());
    },
    closed(agentId, { code, why, heardMs }) {
      if (code === 'SERVER_STOPS') return;
      const sinceUnixMs = Math.round(clock.now().getTime() - (clock.nowMs() - heardMs));
      lines.ended(agentId, { ended: endedBy(code), why: whyOf(code, why), sinceUnixMs }, heardMs);
    },
    heartbeat(agentId, heartbeat: Heartbeat) {
      for (const part of PARTS) {
        const before = partOf(agentId, part);
        const problem = problemOf(part, heartbeat);
        if (before === undefined && problem === undefined) continue;
        setPart(agentId, part, judge(before, problem));
        flush.changedParts.add(agentId);
        partsVersion++;
      }
    },
    gone(agentId) {
      lines.gone(agentId);
      if (parts.delete(agentId)) flush.changedParts.add(agentId);
    },
    changed(agents) {
      const nowMs = clock.nowMs();
      for (const agent of agents) lines.changed(lineAgentOf(agent, deps.policyOf(agent)), nowMs);
    },
    maintenance({ entered, left }) {
      const nowMs = clock.nowMs();
      for (const id of entered) lines.maintain(id, true, nowMs);
      for (const id of left) lines.maintain(id, false, nowMs);
    },

    async tick() {
      const nowMs = clock.nowMs();
      askStore(nowMs);
      lookout.look(lines.tick(nowMs));
      if (nowMs - lookedAgainMs >= LOOK_AGAIN_CHECK_MS) {
        lookedAgainMs = nowMs;
        const own = [...lines.all()].filter(({ state }) => state.kind === 'down' && state.cover.kind === 'own');
        lookout.lookAgain(
          own.map(({ agent }) => agent.id),
          LOOK_AGAIN_MS,
        );
      }
      if (answers) await flush.flush();
    },

    async stop() {
      clearInterval(timer);
      await flush.flush().catch(() => {});
    },
  };

  await load();
  let ticking = false;
  const timer = setInterval(() => {
    if (ticking) {
      // The store hangs: what it is asked is asked by the tick that waits for it.
      lines.hold(clock.nowMs());
      return;
    }
    ticking = true;
    self
      .tick()
      .then(
        () => {
          failing = false;
        },
        (error: unknown) => {
          if (!failing) log.error({ err: error }, 'alerts of lines could not be stored; it is tried again');
          failing = true;
        },
      )
      .finally(() => {
        ticking = false;
      });
  }, TICK_MS);
  return self;
}

function endedBy(code: CloseCode): Loss['ended'] {
  switch (code) {
    case 'GOODBYE':
      return 'stopped';
    case 'AGENT_SILENT':
    case 'AGENT_TOO_SLOW':
      return 'silent';
    default:
      return 'broken';
  }
}

/** What a person can make something of. */
function whyOf(code: CloseCode, why: string): string {
  if (code === 'GOODBYE') return why;
  return code === 'ENDED_BY_AGENT' || code === 'AGENT_SILENT' ? '' : `${code}: ${why}`;
}
