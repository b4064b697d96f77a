import type { Attributes } from '../agents/selector.ts';
import type { TrustDesk } from '../enrollment/authority/trust-desk.ts';
import type { Policies } from '../policy/policies.ts';
import type { AgentSession } from './agent-session.ts';
import { encode } from './frames.ts';
import type { OutputFlow } from './output-flow.ts';
import { ResultAcks } from './result-acks.ts';

export interface DownlinkDeps {
  ready(agentId: string): AgentSession | undefined;
  /** Of the sessions that are ready, or next to be. */
  agentIds(): readonly string[];
  /** How many sessions are ready. */
  count(): number;
  readonly output: Pick<OutputFlow<AgentSession>, 'durable'>;
  readonly policies: Pick<Policies, 'of'>;
  readonly trust: Pick<TrustDesk, 'current'>;
  /** The encoded PacksWanted. */
  packsWanted(): Buffer;
}

/** What agents are told of their own reports, and of what has changed here. */
export interface Announcements {
  resultsDurable(acks: readonly { agentId: string; runId: string }[]): void;
  /** @param bytes that were committed for that */
  outputDurable(acks: readonly { agentId: string; runId: string; committedBytes: number }[], bytes: number): void;
  /** Everything of the agent's event spool up to and with `seq` is durable. */
  eventsDurable(agentId: string, spoolId: string, seq: number): void;
  packsChanged(): void;
  /** Another authority signs, or others are to be trusted. */
  trustChanged(): void;
  /** Another policy may hold on these. */
  policiesChanged(agents: readonly Attributes[]): void;
}

/** Nothing here waits: a message leaves at once, or is in its session's queue. */
export interface Downlink {
  readonly announce: Announcements;
  /** Writes to each that is ready, in chunks, without blocking the event loop. */
  each(agentIds: readonly string[], write: (session: AgentSession) => void): void;
  /** The results that the agent was not told of yet: whoever takes them tells it, or it is gone. */
  takeResults(agentId: string): string[];
  /** Tells everybody of results at once. */
  flushResults(): void;
  /** Whom to trust, and who signs. */
  trustTo(session: AgentSession): void;
}

/** Writes of one turn of the event loop: a broadcast to the whole fleet must not stop the others. */
const WRITES_PER_TURN = 400;
const LEAST_RENEWAL_MS = 1_000;
/** A renewal costs a signature and an update of a row. */
const RENEWAL_MS_PER_AGENT = 5;

export function createDownlink({ ready, agentIds, count, ...deps }: DownlinkDeps): Downlink {
  const acks = new ResultAcks((byAgent) =>
    each([...byAgent.keys()], (session) => {
      const runIds = byAgent.get(session.agentId) ?? [];
      session.send(encode({ kind: { $case: 'resultAck', value: { runIds } } }), 'control');
    }),
  );

  function each(agentIds: readonly string[], write: (session: AgentSession) => void): void {
    let at = 0;
    const turn = () => {
      for (const agentId of agentIds.slice(at, at + WRITES_PER_TURN)) {
        const session = ready(agentId);
        if (session !== undefined) write(session);
      }
      at += WRITES_PER_TURN;
      if (at < agentIds.length) setImmediate(turn);
    };
    turn();
  }

  function trustMessage(): Buffer {
    const { caPem, issuer } = deps.trust.current();
    // So that the certificates of a whole fleet are not renewed in one moment.
    const renewWithinMs = LEAST_RENEWAL_MS + count() * RENEWAL_MS_PER_AGENT;
    const value = { caPem, issuer: Buffer.from(issuer, 'hex'), renewWithinMs };
    return encode({ kind: { $case: 'trust', value } });
  }

  const announce: Announcements = {
    resultsDurable(durable) {
      for (const { agentId, runId } of durable) acks.add(agentId, runId);
    },
    outputDurable(durable, bytes) {
      const byAgent = new Map<string, { runId: string; committedBytes: bigint }[]>();
      for (const { agentId, runId, committedBytes } of durable) {
        const positions = byAgent.get(agentId) ?? [];
        positions.push({ runId, committedBytes: BigInt(committedBytes) });
        byAgent.set(agentId, positions);
        ready(agentId)?.output.committed(runId, committedBytes);
      }
      for (const [agentId, positions] of byAgent) {
        const value = { positions, resend: undefined };
        ready(agentId)?.send(encode({ kind: { $case: 'outputAck', value } }), 'control');
      }
      deps.output.durable(bytes);
    },
    eventsDurable(agentId, spoolId, seq) {
      ready(agentId)?.send(encode({ kind: { $case: 'eventAck', value: { spoolId, seq: BigInt(seq) } } }), 'control');
    },
    packsChanged() {
      const message = deps.packsWanted();
      each(agentIds(), (session) => session.send(message, 'control'));
    },
    trustChanged() {
      const message = trustMessage();
      each(agentIds(), (session) => {
        if (session.takesTrust) session.send(message, 'control');
      });
    },
    policiesChanged(agents) {
      for (const agent of agents) {
        const session = ready(agent.id);
        const policy = deps.policies.of(agent);
        if (session === undefined || session.policy === policy) continue;
        session.policy = policy;
        session.input({ kind: 'policy', silenceMs: policy.heartbeat.silenceMs });
        if (session.takesPolicy) session.send(policy.message, 'control');
      }
    },
  };
  return {
    announce,
    each,
    takeResults: (agentId) => acks.take(agentId),
    flushResults: () => acks.flush(),
    trustTo: (session) => session.send(trustMessage(), 'control'),
  };
}
