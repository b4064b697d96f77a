import { Bell } from '../bell.ts';
import type { AgentSession } from './agent-session.ts';
import type { Sessions } from './sessions.ts';
import type { LinkFrame, LinkSnapshot, LinkTracer, TraceItem } from './trace.ts';

/** Frames that wait for one reader; what comes beyond is counted and skipped. */
const BUFFERED_FRAMES = 1_000;

const OFFLINE: LinkSnapshot = {
  connected: false,
  remoteAddress: '',
  epoch: 0,
  openedAt: undefined,
  messagesUp: 0,
  messagesDown: 0,
  messageBytesUp: 0,
  messageBytesDown: 0,
  socketBytesUp: 0,
  socketBytesDown: 0,
  tlsProtocol: '',
  tlsCipher: '',
};

export function createLinkTracer(sessions: Sessions): LinkTracer {
  /** Who looks at which agent: one tap per session serves them all. */
  const watchers = new Map<string, Set<(item: TraceItem) => void>>();
  const tapped = new Map<string, AgentSession>();

  function retap(agentId: string): void {
    const listeners = watchers.get(agentId);
    const session = listeners === undefined ? undefined : sessions.ready(agentId);
    const before = tapped.get(agentId);
    if (before === session) return;
    before?.tap(undefined);
    tapped.delete(agentId);
    if (session !== undefined) {
      tapped.set(agentId, session);
      session.tap((frame: LinkFrame) => {
        for (const listener of watchers.get(agentId) ?? []) listener({ kind: 'frame', frame });
      });
    }
    const snapshot = session?.snapshot() ?? OFFLINE;
    for (const listener of listeners ?? []) listener({ kind: 'snapshot', snapshot });
  }
  sessions.onChange((agentId) => {
    if (watchers.has(agentId)) retap(agentId);
  });

  return {
    connectedCount: () => sessions.count(),

    liveStatus(agentId) {
      const heartbeat = sessions.ready(agentId)?.lastHeartbeat;
      return heartbeat && { running: heartbeat.running, queued: heartbeat.queued, fault: heartbeat.fault };
    },

    async *trace(agentId, signal) {
      const waiting: TraceItem[] = [{ kind: 'snapshot', snapshot: sessions.ready(agentId)?.snapshot() ?? OFFLINE }];
      let skipped = 0;
      const bell = new Bell();
      const listener = (item: TraceItem) => {
        if (waiting.length >= BUFFERED_FRAMES) skipped++;
        else waiting.push(item);
        bell.ring();
      };
      const listeners = watchers.get(agentId) ?? new Set();
      watchers.set(agentId, listeners.add(listener));
      retap(agentId);
      // The snapshot that a first tap says is the one that is there already.
      waiting.length = 1;
      try {
        while (!signal.aborted) {
          const item = waiting.shift();
          if (item !== undefined) {
            yield item;
            continue;
          }
          if (skipped > 0) {
            yield { kind: 'skipped', frames: skipped };
            skipped = 0;
            continue;
          }
          await bell.wait(signal);
        }
      } finally {
        listeners.delete(listener);
        if (listeners.size === 0) watchers.delete(agentId);
        retap(agentId);
      }
    },
  };
}
