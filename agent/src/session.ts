import { randomUUID } from 'node:crypto';
import {
  type Heartbeat,
  type HeldPack,
  Hello,
  type ServerMessage,
  type Trust,
  type TrustReport,
  type Welcome,
} from '@openline/proto/agent';
import type { ErrorCode } from '@openline/proto/errors';
import { PROTOCOL_MAX, PROTOCOL_MIN } from '@openline/proto/limits';
import { TRUST_CAPABILITY } from './enrollment/trust.ts';
import { type Backoff, backoffMs } from './link/backoff.ts';
import type { Link, SessionHandler } from './link/link.ts';
import type { PackLibrary } from './packs/library.ts';
import { EVENTS_CAPABILITY, type Rules } from './rules/rules.ts';
import { PARAMETERS_FROM_CAPABILITY, type Target } from './target.ts';
import { type Clock, systemClock, type Timer } from './tasks/clock.ts';
import type { TaskEngine } from './tasks/engine.ts';
import type { Log } from './telemetry/log.ts';
import { VERSION } from './version.ts';

/** Output that the server dropped for lack of room is sent again when it asks. */
const OUTPUT_RESEND_CAPABILITY = 'output-resend';

/** What the link carries for. */
export interface SessionParts {
  readonly link: () => Pick<Link, 'packStatus' | 'fetchPack' | 'beatEvery'>;
  readonly engine: () => TaskEngine;
  /** Absent where nothing is watched: a simulated agent. */
  readonly rules?: () => Rules;
  /** Absent where identities are given: a simulated agent. */
  readonly trust?: { report(): TrustReport; follow(trust: Trust): void };
  /** Absent where nothing is filled in: a simulated agent. */
  readonly target?: Pick<Target, 'welcomed' | 'pinned'>;
  readonly packs: PackLibrary;
  readonly log: Log;
  /** Default: the system's. */
  readonly clock?: Pick<Clock, 'after'>;
  /** Default: Math.random. */
  readonly random?: () => number;
}

export interface SessionFacts {
  readonly machineId: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly facts: Readonly<Record<string, string>>;
}

/** What is true of a pack until the pack, or a configuration, is another one: trying again would change nothing. */
const VERDICTS: ReadonlySet<string> = new Set<ErrorCode>([
  'PACK_INVALID',
  'PACK_SIGNATURE_INVALID',
  'PACK_KEY_UNTRUSTED',
  'PACK_DOWNGRADE',
]);

/** Of packs that could not be had for another reason: a disk that is full, a server that was busy. Each try fetches them anew. */
const HOLD_AGAIN: Backoff = { baseMs: 15_000, maxMs: 300_000 };

/** Of a fault, which may be put together of many. */
const MAX_FAULT_CHARS = 1_000;

/** Hands what the server says to the part that it concerns. Nothing here waits, and nothing that goes wrong ends the process. */
export function createSessionHandler(parts: SessionParts, about: SessionFacts): SessionHandler {
  const { packs, log, clock = systemClock, random = Math.random } = parts;
  const instanceId = randomUUID();
  /** What the server wants now; another one at each message, and none without a session. */
  let wanting: { again?: Timer } = {};

  function wantAnew(): { again?: Timer } {
    wanting.again?.cancel();
    wanting = {};
    return wanting;
  }

  async function hold(wanted: readonly HeldPack[], mine: { again?: Timer }, attempt = 0): Promise<void> {
    const { fetchPack, packStatus } = parts.link();
    const states = await packs.want(wanted, fetchPack);
    if (states.length > 0) packStatus(states);
    if (mine !== wanting || states.every(({ ready, reasonCode }) => ready || VERDICTS.has(reasonCode))) return;
    // Half of it for certain: what is full now is full in a moment, too.
    const inMs = HOLD_AGAIN.baseMs / 2 + backoffMs(attempt, random, HOLD_AGAIN);
    mine.again = clock.after(inMs, () => holdAndLog(wanted, mine, attempt + 1));
  }

  function holdAndLog(wanted: readonly HeldPack[], mine: { again?: Timer }, attempt = 0): void {
    hold(wanted, mine, attempt).catch((error: unknown) => log.error({ error }, 'could not hold the wanted packs'));
  }

  function receive({ kind }: ServerMessage): void {
    const engine = parts.engine();
    switch (kind?.$case) {
      case 'tasks':
        engine.offer(kind.value.tasks);
        break;
      case 'cancel':
        engine.cancel(kind.value.runIds, kind.value.reason);
        break;
      case 'heartbeatAck':
        engine.resultsCommitted(kind.value.committedRunIds);
        break;
      case 'resultAck':
        engine.resultsCommitted(kind.value.runIds);
        break;
      case 'outputAck':
        for (const { runId, committedBytes } of kind.value.positions)
          engine.outputCommitted(runId, Number(committedBytes));
        if (kind.value.resend !== undefined)
          engine.outputResend(kind.value.resend.round, kind.value.resend.windowBytes);
        break;
      case 'eventAck':
        parts.rules?.().acknowledged(kind.value);
        break;
      case 'policy':
        parts.link().beatEvery(kind.value.heartbeatIntervalMs);
        parts.rules?.().policy(kind.value);
        break;
      case 'resetMonitor':
        parts.rules?.().reset(kind.value);
        break;
      case 'trust':
        parts.trust?.follow(kind.value);
        break;
      case 'pinnedLabels':
        parts.target?.pinned(kind.value.labels);
        parts.rules?.().pinned(kind.value.labels);
        break;
      case 'packsWanted':
        holdAndLog(kind.value.packs, wantAnew());
        break;
      default:
        // What concerns the link itself has been dealt with there.
        break;
    }
  }

  return {
    hello: () =>
      Hello.create({
        protocolMin: PROTOCOL_MIN,
        protocolMax: PROTOCOL_MAX,
        capabilities: [
          OUTPUT_RESEND_CAPABILITY,
          ...(parts.rules ? [EVENTS_CAPABILITY] : []),
          ...(parts.trust ? [TRUST_CAPABILITY] : []),
          ...(parts.target ? [PARAMETERS_FROM_CAPABILITY] : []),
        ],
        agentVersion: VERSION,
        journalId: parts.engine().journalId,
        instanceId,
        machineId: about.machineId,
        labels: { ...about.labels },
        facts: { ...about.facts },
        heldPacks: packs.held(),
        openRunIds: parts.engine().openRunIds(),
        ...parts.engine().room,
        ...(parts.trust ? { trust: parts.trust.report() } : {}),
      }),
    heartbeat(): Omit<Heartbeat, 'seq' | 'sentUnixMs'> {
      const tasks = parts.engine().health();
      const rules = parts.rules?.().health() ?? { rulesCheckedMsAgo: 0, spooledEventRecords: 0n, fault: '' };
      const faults = [tasks.fault, rules.fault].filter((fault) => fault !== '');
      return {
        ...tasks,
        ...rules,
        fault: faults.join('; ').slice(0, MAX_FAULT_CHARS).toWellFormed(),
        rssBytes: BigInt(process.memoryUsage.rss()),
      };
    },
    opened({ outputWindowBytes, capabilities, agentName, pinnedLabels }: Welcome) {
      // Before the engine, which may be offered tasks from now on.
      parts.target?.welcomed(agentName, pinnedLabels);
      parts.engine().sessionOpened(outputWindowBytes);
      parts.rules?.().pinned(pinnedLabels);
      parts.rules?.().sessionOpened(capabilities);
    },
    closed() {
      wantAnew();
      parts.engine().sessionClosed();
      parts.rules?.().sessionClosed();
    },
    message(message) {
      try {
        receive(message);
      } catch (error) {
        log.error({ error, kind: message.kind?.$case }, 'a message could not be handled');
      }
    },
    writable: () => parts.engine().sessionWritable(),
  };
}
