import type { Hello } from '@openline/proto/agent';
import { PROTOCOL_MAX, PROTOCOL_MIN } from '@openline/proto/limits';
import type { Attributes } from '../agents/selector.ts';
import type { Clock } from '../clock.ts';
import { createGroupCommit } from '../db/group-commit.ts';
import type { TrustDesk } from '../enrollment/authority/trust-desk.ts';
import type { EventDesk } from '../events/event-desk.ts';
import { every, type Repeated } from '../every.ts';
import type { Policies } from '../policy/policies.ts';
import type { DispatchDesk } from '../runs/desk.ts';
import type { AgentLines } from '../runs/lines.ts';
import type { Owed, OwedStore } from '../runs/owed-store.ts';
import { OUTDATED } from '../runs/parameters-from.ts';
import type { TaskOrder } from '../runs/wire.ts';
import { AgentSession, EVENTS_CAPABILITY, type SessionOwner } from './agent-session.ts';
import { createArrivals } from './arrivals.ts';
import { createCourier } from './courier.ts';
import { type Announcements, createDownlink } from './downlink.ts';
import { encode } from './frames.ts';
import type { Link } from './link.ts';
import { createOutputFlow } from './output-flow.ts';
import { createPacer } from './pacer.ts';
import { type CloseCode, contest, type SessionPolicy } from './session.ts';
import type { Opened, SessionStore } from './session-store.ts';
import { type Stage, StageTimer } from './stages.ts';
import { TRUST_CAPABILITY, trustReportOf } from './trust.ts';
import { createUplink } from './uplink.ts';
import type { LineWatcher } from './watcher.ts';

export interface SessionsDeps {
  readonly store: SessionStore;
  readonly desk: DispatchDesk;
  readonly events: Pick<EventDesk, 'take'>;
  readonly owed: Pick<OwedStore, 'openAt' | 'takeQueued' | 'orders'>;
  readonly policies: Pick<Policies, 'of'>;
  readonly watcher: LineWatcher;
  readonly trust: Pick<TrustDesk, 'current' | 'reported'>;
  /** The encoded PacksWanted. */
  packsWanted(): Buffer;
  readonly clock: Clock;
  random(): number;
  readonly log: SessionLog;
  readonly observe: SessionObserver;
}

export interface SessionLog {
  info(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

export interface SessionObserver {
  /** @param count agents that are connected now */
  opened(count: number): void;
  superseded(): void;
  refused(reason: CloseCode): void;
  closed(reason: CloseCode, count: number): void;
  /** @param field number of the message's kind in the .proto file */
  frame(direction: 'up' | 'down', field: number, bytes: number): void;
  stage(stage: Stage, seconds: number): void;
  queuedBytes(bytes: number): void;
  /** Output was dropped for lack of room: its agent sends it again. */
  outputRefused(): void;
}

export interface SessionsConfig {
  /** How often presence is stored. */
  readonly heartbeatIntervalMs: number;
  readonly maxAgents: number;
}

/** All the sessions of this replica: who is connected, and what goes up and down. */
export interface Sessions extends AgentLines, Announcements {
  attach(link: Link): AgentSession;
  ready(agentId: string): AgentSession | undefined;
  count(): number;
  /** Called for every session that begins or ends, for those who look at one. */
  onChange(listener: (agentId: string) => void): void;
  close(agentId: string, code: CloseCode, why: string): void;
  /** The labels that are held here of an agent, beyond what it says of itself, are others now. */
  pinnedChanged(agentId: string, labels: Readonly<Record<string, string>>): void;
  /** Says again what connected agents have not answered. */
  deliver(owed: readonly Owed[]): void;
  /** A dispatch has ended, and that is committed. */
  ended(runId: string, agentId: string): void;
  /** Those with a ready session. */
  connected(): string[];
  start(): void;
  /** Asks every agent to go elsewhere within `spreadMs`. */
  drain(spreadMs: number): void;
  stop(): Promise<void>;
}

type Handed = Pick<TaskOrder, 'runId' | 'parametersFrom'>;

const GREETING_MS = 15_000;
const QUEUE_LIMIT_BYTES = 16 * 1024 * 1024;
const TICK_MS = 1_000;
const FLUSH_TIMEOUT_MS = 2_000;

export function createSessions(deps: SessionsDeps, config: SessionsConfig): Sessions {
  const { store, desk, clock, log, observe } = deps;
  const policy: SessionPolicy = {
    protocolMin: PROTOCOL_MIN,
    protocolMax: PROTOCOL_MAX,
    greetingMs: GREETING_MS,
    queueLimitBytes: QUEUE_LIMIT_BYTES,
  };
  /** Every stream that is open. */
  const all = new Set<AgentSession>();
  /** The one session of each identity that is ready, or next to be. */
  const holders = new Map<string, AgentSession>();
  /** Those that are ready, by the names of their agents. */
  const named = new Map<string, AgentSession>();
  let readyCount = 0;
  const listeners: ((agentId: string) => void)[] = [];
  const changed = (agentId: string) => {
    for (const listener of listeners) listener(agentId);
  };
  let ticking: NodeJS.Timeout | undefined;
  let presence: Repeated | undefined;
  let draining = false;
  const stages = new StageTimer(observe.stage);
  const output = createOutputFlow<AgentSession>({
    store: (chunk) => desk.output(chunk),
    resend(session, round, windowBytes) {
      const value = { positions: [], resend: { round, windowBytes } };
      session.send(encode({ kind: { $case: 'outputAck', value } }), 'control');
    },
    violated: (session, what) => session.input({ kind: 'nonsense', what }),
    busy: (session) =>
      session.input({ kind: 'close', code: 'SERVER_BUSY', why: 'this server holds as much output as it may' }),
    agents: () => readyCount,
    onRefused: observe.outputRefused,
  });
  const uplink = createUplink({ store, desk, output, events: deps.events, trust: deps.trust, clock, log, stages });
  const downlink = createDownlink({
    ready,
    agentIds: () => [...holders.keys()],
    count: () => readyCount,
    output,
    policies: deps.policies,
    trust: deps.trust,
    packsWanted: deps.packsWanted,
  });

  const owner: SessionOwner = {
    policy,
    nowMs: () => clock.nowMs(),
    frame: observe.frame,
    open(session, hello) {
      const refusal = admit(session, hello);
      if (refusal === undefined) arrivals.add(session);
      else session.input({ kind: 'close', ...refusal });
    },
    welcome(session) {
      const { hello, policy } = session;
      const agent = opening.get(session);
      opening.delete(session);
      if (hello === undefined || policy === undefined || agent === undefined) return;
      const outputWindowBytes = output.windowFor(readyCount + 1);
      session.output.grant(outputWindowBytes);
      const value = {
        protocol: Math.min(hello.protocolMax, PROTOCOL_MAX),
        capabilities: [EVENTS_CAPABILITY, TRUST_CAPABILITY],
        agentId: session.agentId,
        agentName: agent.name,
        sessionEpoch: BigInt(session.epoch),
        heartbeatIntervalMs: policy.heartbeat.intervalMs,
        outputWindowBytes,
        serverUnixMs: BigInt(clock.now().getTime()),
        pinnedLabels: (session.fillsIn ? session.pinnedLabels : undefined) ?? {},
      };
      session.pinnedLabels = undefined;
      session.send(encode({ kind: { $case: 'welcome', value } }), 'control');
      // Before the packs: those that it holds are to be watched with what overrides make of them.
      if (session.takesPolicy) session.send(policy.message, 'control');
      session.send(deps.packsWanted(), 'control');
      session.agentName = agent.name;
      named.set(agent.name, session);
      if (session.takesTrust && deps.trust.reported(session.agentId, trustReportOf(hello.trust)))
        downlink.trustTo(session);
      readyCount++;
      observe.opened(readyCount);
      log.info(
        { agentId: session.agentId, agent: value.agentName, epoch: session.epoch, remote: session.link.remoteAddress },
        'agent connected',
      );
      deps.watcher.opened(agent, policy);
      changed(session.agentId);
    },
    heartbeat: (session, heartbeat) => deps.watcher.heartbeat(session.agentId, heartbeat),
    deliver(session, message) {
      // What it takes before its Hello is settled, it knows as well.
      if (message.$case === 'taskReports' && session.hello !== undefined)
        for (const { runId } of message.value.accepted) session.hello.openRunIds.push(runId);
      uplink.deliver(session, message);
    },
    committed: (agentId) => downlink.takeResults(agentId),
    closed(session, code, why) {
      all.delete(session);
      opening.delete(session);
      output.forget(session);
      const wasReady = openedEpochs.get(session);
      openedEpochs.delete(session);
      if (wasReady !== undefined) {
        readyCount--;
        endings.add({ agentId: session.agentId, epoch: wasReady });
        observe.closed(code, readyCount);
      } else observe.refused(code);
      if (named.get(session.agentName) === session) named.delete(session.agentName);
      if (holders.get(session.agentId) === session) {
        holders.delete(session.agentId);
        pacer.forget(session.agentId);
        downlink.takeResults(session.agentId);
        if (wasReady !== undefined) deps.watcher.closed(session.agentId, { code, why, heardMs: session.heardMs });
      }
      const quiet =
        code === 'ENDED_BY_AGENT' || code === 'GOODBYE' || code === 'SERVER_STOPS' || code === 'SESSION_SUPERSEDED';
      log[quiet ? 'info' : 'warn'](
        { agentId: session.agentId, remote: session.link.remoteAddress, code, why },
        'agent session ended',
      );
      changed(session.agentId);
    },
  };
  /** Whose Welcome is being written. */
  const opening = new Map<AgentSession, Attributes>();
  const openedEpochs = new Map<AgentSession, number>();

  /** @returns why this Hello is refused, when it is */
  function admit(session: AgentSession, hello: Hello): { code: CloseCode; why: string } | undefined {
    if (draining) return { code: 'SERVER_BUSY', why: 'this server is about to stop' };
    if (readyCount >= config.maxAgents)
      return { code: 'SERVER_BUSY', why: `this server holds its limit of ${config.maxAgents} agents` };
    const instance = { instanceId: hello.instanceId, machineId: hello.machineId, journalId: hello.journalId };
    if (instance.instanceId === '' || instance.machineId === '' || instance.journalId === '') {
      return { code: 'PROTOCOL_VIOLATION', why: 'Hello lacks the id of the instance, the machine or the journal' };
    }
    const before = holders.get(session.agentId);
    if (before?.holder === undefined) session.holder = { ...instance, superseded: [] };
    else {
      const verdict = contest(before.holder, instance);
      if (verdict.kind === 'refuse') return { code: 'IDENTITY_IN_USE', why: verdict.why };
      session.holder = { ...instance, superseded: verdict.superseded };
      observe.superseded();
      before.input({ kind: 'close', code: 'SESSION_SUPERSEDED', why: 'a newer session of this agent took over' });
    }
    holders.set(session.agentId, session);
    return undefined;
  }

  function takeUp(session: AgentSession, opened: Opened | undefined): void {
    if (opened?.kind !== 'opened') {
      const revoked = opened?.kind === 'revoked';
      const why = revoked ? `the agent was revoked: ${opened.reason}` : 'this server does not know the agent';
      session.input({ kind: 'close', code: revoked ? 'AGENT_REVOKED' : 'IDENTITY_UNKNOWN', why });
      return;
    }
    if (session.state.kind !== 'opening') {
      endings.add({ agentId: session.agentId, epoch: opened.epoch });
      return;
    }
    const { agent } = opened;
    opening.set(session, agent);
    // One that changed meanwhile is newer.
    session.pinnedLabels ??= opened.pinnedLabels;
    session.policy = deps.policies.of(agent);
    openedEpochs.set(session, opened.epoch);
    session.sameProcess = opened.sameProcess;
    if (opened.journalReplaced)
      log.warn({ agentId: session.agentId, agent: agent.name }, 'agent came back with a new journal');
    session.input({ kind: 'opened', epoch: opened.epoch, silenceMs: session.policy.heartbeat.silenceMs });
  }

  const courier = createCourier({
    store: deps.owed,
    clock,
    send(agentId, order, message) {
      const session = ready(agentId);
      if (session !== undefined) handTo(session, order, message);
    },
    onFailure: (error, dispatches) =>
      log.error({ error: String(error), dispatches }, 'what is owed cannot be read; it is said again'),
  });
  const pacer = createPacer({
    store: deps.owed,
    clock,
    ready,
    handOver: courier,
    onFailure: (error, pending) =>
      log.error({ error: String(error), pending }, 'what waits for agents cannot be read; it is tried again'),
  });
  const arrivals = createArrivals({
    store,
    owed: deps.owed,
    desk,
    pacer,
    clock,
    takeUp,
    handOver: courier,
    onFailure: (error, pending, what) => log.error({ error: String(error), pending }, what),
  });

  const endings = createGroupCommit<{ agentId: string; epoch: number }>({
    sleep: (ms) => clock.sleep(ms),
    onFailure: (error, pending) => log.error({ error: String(error), pending }, 'ended sessions cannot be stored'),
    commit: (sessions) => store.ended(sessions, clock.now()),
  });

  /** Ends it instead where the agent would run it without a part of its parameters. */
  function handTo(session: AgentSession, { runId, parametersFrom }: Handed, message: Buffer): void {
    if (parametersFrom === undefined || session.fillsIn) session.send(message, 'bulk');
    else desk.change({ ...OUTDATED, runId, agentId: session.agentId, epoch: 0, endedAt: clock.now() });
  }

  function ready(agentId: string): AgentSession | undefined {
    const session = holders.get(agentId);
    return session?.state.kind === 'ready' ? session : undefined;
  }

  function tick(): void {
    const unixMs = clock.now().getTime();
    pacer.tick();
    for (const session of all) {
      session.input({
        kind: 'tick',
        certificateExpired: session.link.certificateExpiresUnixMs() < unixMs,
        queuedBytes: session.queuedBytes,
      });
      if (session.queuedBytes > 0) observe.queuedBytes(session.queuedBytes);
    }
  }

  async function seen(): Promise<void> {
    const ids = [...openedEpochs.keys()].map((s) => s.agentId);
    if (ids.length > 0) await store.seen(ids, clock.now());
  }

  return {
    ...downlink.announce,
    attach(link) {
      const session = new AgentSession(link, owner, clock.now());
      all.add(session);
      return session;
    },
    ready,
    count: () => readyCount,
    isConnected: (agentId) => ready(agentId) !== undefined,
    connectedAs: (agentName) => named.get(agentName)?.agentId,
    reserve: pacer.reserve,
    release(runId, agentIds) {
      for (const agentId of agentIds) pacer.ended(runId, agentId);
    },
    fillsIn: (agentId) => ready(agentId)?.fillsIn !== false,
    sendTask(run, agentIds, message) {
      const { runId, parameterBytes } = run;
      stages.sent(runId, clock.nowMs());
      downlink.each(agentIds, (session) => {
        // Its place was taken in the session before, when it reconnected since.
        session.load.add(runId, parameterBytes);
        handTo(session, run, message);
      });
    },
    waiting(agentIds) {
      for (const agentId of agentIds) pacer.waiting(agentId);
    },
    ended: pacer.ended,
    sendControl: (agentIds, message) => downlink.each(agentIds, (session) => session.send(message, 'control')),
    onChange: (listener) => listeners.push(listener),
    close(agentId, code, why) {
      holders.get(agentId)?.input({ kind: 'close', code, why });
    },
    pinnedChanged(agentId, labels) {
      const session = holders.get(agentId);
      if (session?.fillsIn !== true) return;
      if (session.state.kind !== 'ready') session.pinnedLabels = labels;
      else session.send(encode({ kind: { $case: 'pinnedLabels', value: { labels: { ...labels } } } }), 'control');
    },
    deliver(owed) {
      void courier(
        owed.filter(({ runId, agentId, parameterBytes }) => ready(agentId)?.load.take(runId, parameterBytes)),
      );
    },
    connected: () => [...openedEpochs.keys()].map((session) => session.agentId),
    start() {
      ticking = setInterval(tick, TICK_MS);
      // Not beside the time before: while the database hangs, that would take one connection after the other.
      presence = every(config.heartbeatIntervalMs, seen, (error) =>
        log.error({ error: String(error) }, 'presence cannot be stored'),
      );
    },
    drain(spreadMs) {
      draining = true;
      for (const session of openedEpochs.keys()) {
        const afterMs = Math.round(deps.random() * spreadMs);
        session.send(
          encode({ kind: { $case: 'reconnect', value: { afterMs, reason: 'this server is about to stop' } } }),
          'control',
        );
      }
    },
    async stop() {
      draining = true;
      clearInterval(ticking);
      presence?.stop();
      downlink.flushResults();
      for (const session of [...all]) session.input({ kind: 'close', code: 'SERVER_STOPS', why: 'this server stops' });
      // Not for ever: a server that starts marks every agent as offline, and packs are said anew with each Hello.
      await Promise.race([Promise.all([endings.idle(), uplink.idle()]), clock.sleep(FLUSH_TIMEOUT_MS)]);
      arrivals.close();
      pacer.stop();
      endings.close();
    },
  };
}
