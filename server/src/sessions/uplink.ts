import type { AgentMessage } from '@openline/proto/agent';
import type { Clock } from '../clock.ts';
import { createGroupCommit } from '../db/group-commit.ts';
import type { TrustDesk } from '../enrollment/authority/trust-desk.ts';
import type { EventDesk } from '../events/event-desk.ts';
import type { DispatchDesk } from '../runs/desk.ts';
import type { AgentSession } from './agent-session.ts';
import { batchOf } from './event-intake.ts';
import { changesOf, chunkOf, text } from './intake.ts';
import type { OutputFlow } from './output-flow.ts';
import type { PackStateRecord, SessionStore } from './session-store.ts';
import type { SessionLog } from './sessions.ts';
import type { StageTimer } from './stages.ts';
import { trustReportOf } from './trust.ts';

export interface UplinkDeps {
  readonly store: Pick<SessionStore, 'packStates'>;
  readonly desk: Pick<DispatchDesk, 'change'>;
  readonly output: Pick<OutputFlow, 'arrived'>;
  readonly events: Pick<EventDesk, 'take'>;
  readonly trust: Pick<TrustDesk, 'reported'>;
  readonly clock: Clock;
  readonly log: SessionLog;
  readonly stages: StageTimer;
}

const MAX_SHOWN_CHARS = 200;
const MAX_CODE_CHARS = 64;
const MAX_REASON_CHARS = 2_000;

/** Takes what ready sessions say to the domain that it concerns. Nothing here waits: it runs within the read of the stream. */
export function createUplink({ store, desk, output, events, trust, clock, log, stages }: UplinkDeps): {
  deliver(session: AgentSession, message: NonNullable<AgentMessage['kind']>): void;
  /** Nothing is waiting to be stored. */
  idle(): Promise<void>;
} {
  const packStates = createGroupCommit<PackStateRecord>({
    sleep: (ms) => clock.sleep(ms),
    onFailure: (error, pending) =>
      log.error({ err: error, pending }, 'pack states cannot be stored; it is tried again'),
    commit(states) {
      // The last word of an agent on a pack counts; one statement may not touch a row twice.
      const last = new Map(states.map((state) => [`${state.agentId} ${state.digest.toString('hex')}`, state]));
      return store.packStates([...last.values()]);
    },
  });

  return {
    idle: () => packStates.idle(),

    deliver(session, message) {
      const { agentId, epoch } = session;
      switch (message.$case) {
        case 'hello':
        case 'heartbeat':
          // The session's own business.
          return;
        case 'taskReports': {
          const changes = changesOf(message.value, { agentId, epoch });
          if (typeof changes === 'string') {
            session.input({ kind: 'nonsense', what: changes });
            return;
          }
          stages.reported(message.value, clock.nowMs());
          // All that it has not heard to be committed it says again with its next Hello.
          if (!changes.every((change) => desk.change(change)))
            session.input({
              kind: 'close',
              code: 'SERVER_BUSY',
              why: 'this server holds as many reports of this agent as it may until its database takes them',
            });
          return;
        }
        case 'taskOutput': {
          const chunk = chunkOf(message.value, agentId);
          if (typeof chunk === 'string') session.input({ kind: 'nonsense', what: chunk });
          else output.arrived(session, chunk, message.value.round);
          return;
        }
        case 'packStatus':
          for (const { digest: bytes, ready, reasonCode, reason } of message.value.packs) {
            const digest = Buffer.from(bytes);
            packStates.add({
              agentId,
              digest,
              ready,
              reasonCode: text(reasonCode, MAX_CODE_CHARS),
              reason: text(reason, MAX_REASON_CHARS),
            });
            if (!ready)
              log.warn({ agentId, digest: digest.toString('hex'), reasonCode, reason }, 'agent refused a pack');
          }
          return;
        case 'goodbye':
          session.input({
            kind: 'close',
            code: 'GOODBYE',
            why: text(message.value.reason, MAX_SHOWN_CHARS),
          });
          return;
        case 'eventBatch': {
          const batch = batchOf(message.value, { agentId, epoch, now: clock.now(), nowMs: clock.nowMs() });
          if (typeof batch === 'string') session.input({ kind: 'nonsense', what: batch });
          else events.take(batch);
          return;
        }
        case 'trustReport':
          trust.reported(agentId, trustReportOf(message.value));
          return;
        case 'unsupported':
          log.warn({ agentId, note: message.value.note.slice(0, MAX_SHOWN_CHARS) }, 'agent did not know a message');
          return;
        default:
          message satisfies never;
      }
    },
  };
}
