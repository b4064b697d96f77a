import { MAX_FACTS, MAX_LABEL_CHARS, MAX_LABELS } from '@openline/proto/limits';
import type { Clock } from '../clock.ts';
import { createGroupCommit } from '../db/group-commit.ts';
import type { DispatchDesk } from '../runs/desk.ts';
import { onHello } from '../runs/dispatch.ts';
import type { Owed, OwedDispatch, OwedStore } from '../runs/owed-store.ts';
import { encodeCancel } from '../runs/wire.ts';
import type { AgentSession } from './agent-session.ts';
import { attributesOf, text } from './intake.ts';
import type { Pacer } from './pacer.ts';
import type { HelloRecord, Opened, SessionStore } from './session-store.ts';

export interface ArrivalsDeps {
  readonly store: Pick<SessionStore, 'open'>;
  readonly owed: Pick<OwedStore, 'openAt'>;
  readonly desk: Pick<DispatchDesk, 'change'>;
  readonly pacer: Pick<Pacer, 'waiting' | 'settled'>;
  readonly clock: Clock;
  /** The store has answered its Hello. undefined: it knows no such agent */
  takeUp(session: AgentSession, opened: Opened | undefined): void;
  handOver(owed: readonly Owed[]): Promise<void>;
  onFailure(error: unknown, pending: number, what: string): void;
}

/** Of agents that come back at once: one statement must not hold up the others for long when much waits for each of them. */
const SETTLED_AT_ONCE = 200;

/**
 * From Hello to the moment when an agent that comes back has what it is owed. A session is opened first, together with all others that say
 * Hello at that moment; what it is owed is looked at in a queue of its own, so that nobody's Welcome waits for it.
 */
export function createArrivals(deps: ArrivalsDeps): { add(session: AgentSession): void; close(): void } {
  const { store, owed, desk, pacer, clock } = deps;
  const sleep = (ms: number) => clock.sleep(ms);

  const hellos = createGroupCommit<AgentSession>({
    sleep,
    onFailure: (error, pending) => deps.onFailure(error, pending, 'sessions cannot be stored; their agents wait'),
    async commit(sessions) {
      const records = new Map<AgentSession, HelloRecord>();
      for (const session of sessions) {
        if (session.state.kind !== 'opening') continue;
        const record = toHelloRecord(session);
        if (typeof record === 'string') session.input({ kind: 'nonsense', what: record });
        else records.set(session, record);
      }
      if (records.size === 0) return;
      const opened = await store.open([...records.values()], clock.now());
      for (const session of records.keys()) {
        deps.takeUp(session, opened.get(session.agentId));
        if (isUnsettled(session)) settling.add(session);
      }
    },
  });

  const settling = createGroupCommit<AgentSession>({
    sleep,
    maxBatch: SETTLED_AT_ONCE,
    onFailure: (error, pending) => deps.onFailure(error, pending, 'what agents are owed cannot be read; they wait'),
    async commit(sessions) {
      const before = sessions.filter(isUnsettled);
      if (before.length === 0) return;
      const { open, waiting } = await owed.openAt(
        before.map((s) => s.agentId),
        clock.now(),
      );
      // Whose session ended meanwhile says with the next Hello what it knows.
      const arrived = before.filter(isUnsettled);
      const toSend = settle(open, arrived);
      const here = new Set(arrived.map((s) => s.agentId));
      for (const agentId of waiting) if (here.has(agentId)) pacer.waiting(agentId);
      for (const agentId of here) pacer.settled(agentId);
      await deps.handOver(toSend);
    },
  });

  /** What agents that just came back may have: left to them, sent again, cancelled, or ended. @returns what is to be sent */
  function settle(open: readonly OwedDispatch[], sessions: readonly AgentSession[]): Owed[] {
    const byAgent = new Map<string, OwedDispatch[]>(sessions.map((s) => [s.agentId, []]));
    for (const dispatch of open) byAgent.get(dispatch.agentId)?.push(dispatch);
    return sessions.flatMap((session) => {
      const toSend = settleOne(session, byAgent.get(session.agentId) ?? []);
      // Ten thousand of them are not kept for nothing.
      session.hello = undefined;
      return toSend;
    });
  }

  function settleOne(session: AgentSession, open: readonly OwedDispatch[]): Owed[] {
    const { agentId, hello, sameProcess, load } = session;
    const known = new Set(hello?.openRunIds);
    const inHand: [string, number][] = [];
    const toSend: Owed[] = [];
    for (const dispatch of open) {
      const { runId, parameterBytes } = dispatch;
      const verdict = onHello(dispatch, known.has(runId), sameProcess);
      switch (verdict.kind) {
        case 'send':
          toSend.push(dispatch);
          break;
        case 'await':
          inHand.push([runId, parameterBytes]);
          break;
        case 'cancel':
          inHand.push([runId, parameterBytes]);
          session.send(encodeCancel([runId], 'the run was cancelled while the agent was away'), 'control');
          break;
        case 'end':
          desk.change({ ...verdict, runId, agentId, epoch: 0, endedAt: clock.now() });
          break;
        default:
          verdict satisfies never;
      }
    }
    load.settle(inHand);
    // Its queue may have become smaller: what does not fit is said again by the sweep.
    return toSend.filter(({ runId, parameterBytes }) => load.take(runId, parameterBytes));
  }

  return {
    add: (session) => hellos.add(session),
    close() {
      hellos.close();
      settling.close();
    },
  };
}

/** It is ready, and what it is owed has not been looked at. */
function isUnsettled(session: AgentSession): boolean {
  return session.state.kind === 'ready' && session.hello !== undefined;
}

function toHelloRecord(session: AgentSession): HelloRecord | string {
  const { hello, link } = session;
  if (hello === undefined) return 'no Hello';
  const labels = attributesOf('labels', hello.labels, MAX_LABELS, MAX_LABEL_CHARS);
  if (typeof labels === 'string') return labels;
  const facts = attributesOf('facts', hello.facts, MAX_FACTS, MAX_LABEL_CHARS);
  if (typeof facts === 'string') return facts;
  return {
    agentId: session.agentId,
    journalId: text(hello.journalId, 64),
    instanceId: text(hello.instanceId, 64),
    version: text(hello.agentVersion, 64),
    labels,
    facts,
    remoteAddress: link.remoteAddress,
    certificateExpiresAt: new Date(link.certificateExpiresUnixMs()),
    heldDigests: hello.heldPacks.slice(0, 1_000).map((p) => Buffer.from(p.digest)),
  };
}
