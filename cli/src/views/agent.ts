import type { Agent } from '@openline/proto/operator';
import { hex, iso, number } from './values.ts';

/** An agent as `-o json` shows it. Public: fields are added, never renamed or removed. */
export interface AgentView {
  id: string;
  name: string;
  /** faulty: connected, and its last heartbeat said that something does not work. */
  state: 'online' | 'faulty' | 'offline' | 'revoked';
  labels: Record<string, string>;
  facts: Record<string, string>;
  version: string;
  packs: AgentPackView[];
  sessionEpoch: number;
  enrolledAt: string | null;
  connectedAt: string | null;
  lastSeenAt: string | null;
  remoteAddress: string | null;
  running: number;
  queued: number;
  fault: string | null;
  certificateExpiresAt: string | null;
}

export interface AgentPackView {
  name: string;
  version: string;
  /** SHA-256, hexadecimal. */
  digest: string;
  ready: boolean;
  reasonCode: string | null;
  reason: string | null;
}

export function agentView(agent: Agent): AgentView {
  return {
    id: agent.id,
    name: agent.name,
    state: agent.revoked ? 'revoked' : !agent.online ? 'offline' : agent.fault === '' ? 'online' : 'faulty',
    labels: agent.labels,
    facts: agent.facts,
    version: agent.version,
    packs: agent.packs.map((pack) => ({
      name: pack.name,
      version: pack.version,
      digest: hex(pack.digest),
      ready: pack.ready,
      reasonCode: pack.reasonCode || null,
      reason: pack.reason || null,
    })),
    sessionEpoch: number(agent.sessionEpoch),
    enrolledAt: iso(agent.enrolledUnixMs),
    connectedAt: iso(agent.connectedUnixMs),
    lastSeenAt: iso(agent.lastSeenUnixMs),
    remoteAddress: agent.remoteAddress || null,
    running: agent.running,
    queued: agent.queued,
    fault: agent.fault || null,
    certificateExpiresAt: iso(agent.certificateExpiresUnixMs),
  };
}
