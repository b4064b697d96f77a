import {
  type Agent,
  type FleetServiceService,
  FrameDirection,
  type TraceAgentResponse,
} from '@openline/proto/operator';
import { z } from 'zod';
import type { AgentPackRecord, AgentRecord, AgentService } from '../agents/agents.ts';
import type { LinkTracer, TraceItem } from '../sessions/trace.ts';
import { agentRef, readRequest, text } from './fields.ts';
import type { Handlers } from './serve.ts';
import { unixMs } from './times.ts';

export interface FleetDeps {
  readonly agents: Pick<AgentService, 'select' | 'get' | 'packsOf' | 'revoke' | 'remove'>;
  readonly tracer: Pick<LinkTracer, 'trace' | 'liveStatus'>;
}

const List = z.object({ selector: text(64 * 1024), includeRevoked: z.boolean() });
const ByRef = z.object({ agent: agentRef });
const Revoke = z.object({ agent: agentRef, reason: text(1024) });

export function fleetHandlers({ agents, tracer }: FleetDeps): Handlers<typeof FleetServiceService> {
  async function messages(records: readonly AgentRecord[]): Promise<Agent[]> {
    const packs = await agents.packsOf(records.map(({ id }) => id));
    return records.map((record) => agentMessage(record, packs.get(record.id) ?? [], tracer.liveStatus(record.id)));
  }

  async function one(record: AgentRecord): Promise<{ agent: Agent | undefined }> {
    const [agent] = await messages([record]);
    return { agent };
  }

  async function* trace(ref: string, signal: AbortSignal): AsyncIterable<TraceAgentResponse> {
    const { id } = await agents.get(ref);
    for await (const item of tracer.trace(id, signal)) yield { kind: traceMessage(item) };
  }

  return {
    async listAgents(request) {
      const { selector, includeRevoked } = readRequest(List, request);
      return { agents: await messages(await agents.select(selector === '' ? 'all' : selector, { includeRevoked })) };
    },
    async getAgent(request) {
      return one(await agents.get(readRequest(ByRef, request).agent));
    },
    async revokeAgent(request, { principal }) {
      const { agent, reason } = readRequest(Revoke, request);
      return one(await agents.revoke(principal, agent, reason));
    },
    async deleteAgent(request, { principal }) {
      await agents.remove(principal, readRequest(ByRef, request).agent);
      return {};
    },
    traceAgent: (request, { signal }) => trace(readRequest(ByRef, request).agent, signal),
  };
}

function agentMessage(
  agent: AgentRecord,
  packs: readonly AgentPackRecord[],
  live: ReturnType<LinkTracer['liveStatus']>,
): Agent {
  return {
    id: agent.id,
    name: agent.name,
    online: agent.online,
    revoked: agent.revokedAt !== undefined,
    labels: { ...agent.labels },
    facts: { ...agent.facts },
    version: agent.version,
    packs: [...packs],
    sessionEpoch: BigInt(agent.epoch),
    enrolledUnixMs: unixMs(agent.enrolledAt),
    connectedUnixMs: unixMs(agent.connectedAt),
    lastSeenUnixMs: unixMs(agent.lastSeenAt),
    remoteAddress: agent.remoteAddress,
    running: live?.running ?? 0,
    queued: live?.queued ?? 0,
    fault: live?.fault ?? '',
    certificateExpiresUnixMs: unixMs(agent.certificateExpiresAt),
  };
}

function traceMessage(item: TraceItem): TraceAgentResponse['kind'] {
  switch (item.kind) {
    case 'snapshot': {
      const { connected, remoteAddress, epoch, openedAt, tlsProtocol, tlsCipher, ...counts } = item.snapshot;
      return {
        $case: 'snapshot',
        value: {
          connected,
          remoteAddress,
          sessionEpoch: BigInt(epoch),
          openedUnixMs: unixMs(openedAt),
          messagesUp: BigInt(counts.messagesUp),
          messagesDown: BigInt(counts.messagesDown),
          messageBytesUp: BigInt(counts.messageBytesUp),
          messageBytesDown: BigInt(counts.messageBytesDown),
          socketBytesUp: BigInt(counts.socketBytesUp),
          socketBytesDown: BigInt(counts.socketBytesDown),
          tlsProtocol,
          tlsCipher,
        },
      };
    }
    case 'frame': {
      const { atUnixUs, direction, socketBytesUp, socketBytesDown, kind, bytes, detail } = item.frame;
      return {
        $case: 'frame',
        value: {
          atUnixUs: BigInt(Math.round(atUnixUs)),
          direction: direction === 'up' ? FrameDirection.FRAME_DIRECTION_UP : FrameDirection.FRAME_DIRECTION_DOWN,
          kind,
          bytes,
          detail,
          socketBytesUp: BigInt(socketBytesUp),
          socketBytesDown: BigInt(socketBytesDown),
        },
      };
    }
    case 'skipped':
      return { $case: 'skippedFrames', value: BigInt(item.frames) };
    default:
      return item satisfies never;
  }
}
