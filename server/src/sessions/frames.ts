import { AgentMessage, ServerMessage } from '@openline/proto/agent';
import { createEncoder } from '@openline/proto/encoder';

export const encode = createEncoder(ServerMessage);

/** @returns the error instead of throwing it: what agents send is input, not an exception */
export function decodeAgentMessage(bytes: Buffer): AgentMessage | Error {
  try {
    return AgentMessage.decode(bytes);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

/** "taskReports" → "task_reports", the name in the .proto file. */
export function kindName(name: string | undefined): string {
  return name?.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) ?? 'unknown';
}

type Kind = AgentMessage['kind'] | ServerMessage['kind'];

/** What names the content of a frame, for `openline trace`. Never the content itself. */
export function frameDetail(kind: Kind): string {
  switch (kind?.$case) {
    case undefined:
      return '';
    case 'hello':
      return `instance=${kind.value.instanceId} packs=${kind.value.heldPacks.length} open=${kind.value.openRunIds.length}`;
    case 'heartbeat':
      return `seq=${kind.value.seq} running=${kind.value.running} queued=${kind.value.queued}`;
    case 'heartbeatAck':
      if (kind.value.committedRunIds.length === 0) return `seq=${kind.value.seq}`;
      return `seq=${kind.value.seq} committed ${abbreviate(kind.value.committedRunIds)}`;
    case 'taskReports': {
      const { accepted, started, progress, results } = kind.value;
      const parts = [
        ...accepted.map((r) => `accepted ${r.runId}`),
        ...started.map((r) => `started ${r.runId}`),
        ...progress.map((r) => `progress ${r.runId}`),
        ...results.map((r) => `result ${r.runId}`),
      ];
      return abbreviate(parts);
    }
    case 'taskOutput':
      return `${kind.value.runId} offset=${kind.value.offset} bytes=${kind.value.data.length}`;
    case 'packStatus':
      return abbreviate(kind.value.packs.map((p) => `${shortDigest(p.digest)}=${p.ready ? 'ready' : p.reasonCode}`));
    case 'goodbye':
      return kind.value.reason;
    case 'unsupported':
      return kind.value.note;
    case 'welcome':
      return `epoch=${kind.value.sessionEpoch}`;
    case 'tasks':
      return abbreviate(kind.value.tasks.map((t) => `${t.packName}/${t.taskName} ${t.runId}`));
    case 'cancel':
      return abbreviate(kind.value.runIds);
    case 'packsWanted':
      return abbreviate(kind.value.packs.map((p) => `${p.name}@${p.version}`));
    case 'resultAck':
      return abbreviate(kind.value.runIds);
    case 'outputAck':
      return abbreviate(kind.value.positions.map((p) => `${p.runId} up to ${p.committedBytes}`));
    case 'reconnect':
      return `after ${kind.value.afterMs} ms: ${kind.value.reason}`;
    case 'disconnect':
      return kind.value.message;
    case 'eventBatch':
      return abbreviate(kind.value.records.map((record) => `${record.seq} ${record.kind?.$case ?? 'unknown'}`));
    case 'eventAck':
      return `up to ${kind.value.seq}`;
    case 'policy':
      return `${kind.value.overrides.length} overrides`;
    case 'pinnedLabels':
      return abbreviate(Object.keys(kind.value.labels));
    case 'resetMonitor':
      return `${kind.value.packName}/${kind.value.monitorName} ${kind.value.instance}`.trimEnd();
    case 'trust':
      return `issuer=${shortDigest(kind.value.issuer)}`;
    case 'trustReport':
      return `issuer=${shortDigest(kind.value.issuer)} trusts ${abbreviate(kind.value.authorities.map(shortDigest))}`;
    default:
      return kind satisfies never;
  }
}

function abbreviate(parts: readonly string[]): string {
  const shown = parts.slice(0, 4).join(', ');
  return parts.length > 4 ? `${shown} and ${parts.length - 4} more` : shown;
}

function shortDigest(digest: Uint8Array): string {
  return Buffer.from(digest).toString('hex').slice(0, 12);
}
