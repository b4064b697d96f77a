import { X509Certificate } from 'node:crypto';
import type { RenewResponse } from '@openline/proto/agent';
import { backoffMs, spreadMs } from '../link/backoff.ts';
import type { Clock, Timer } from '../tasks/clock.ts';
import type { Log } from '../telemetry/log.ts';
import { generateKey, makeRequest } from './csr.ts';
import type { Identity } from './identity.ts';

export interface RenewalDeps {
  clock: Clock;
  random: () => number;
  log: Log;
  identity: () => Pick<Identity, 'certificatePem'>;
  /** Over the connection that the old certificate authenticated. */
  renew: (csrDer: Uint8Array) => Promise<RenewResponse>;
  /** Stores the new pair, and uses it from the next connection on. */
  keep: (renewed: Pick<Identity, 'keyPem' | 'certificatePem'> & Partial<Identity>) => Promise<void>;
}

export interface Renewal {
  start(): void;
  /** There is a session. What is overdue, or failed for want of one, is done now: an expired certificate cannot be renewed. */
  connected(): void;
  /** Another authority signs now: at a random moment within this time, over the session that there is. */
  soon(withinMs: number): void;
  stop(): void;
}

const RETRY = { baseMs: 30_000, maxMs: 600_000 };
const LEAST_SLEEP_MS = 60_000;
/** Agents that come back together after a long time apart do not renew in one instant. */
const OVERDUE_SPREAD_MS = 5_000;
/** Timers stand still while a machine sleeps, and a wall clock that was set forward moves none. */
const LONGEST_SLEEP_MS = 600_000;

/** Half the life of the certificate, ± 10 % of its life, so that agents that enrolled together do not renew together. Unix milliseconds. */
export function renewAtUnixMs(certificatePem: string, random: () => number): number {
  const { validFrom, validTo } = new X509Certificate(certificatePem);
  const [fromMs, toMs] = [Date.parse(validFrom), Date.parse(validTo)];
  return fromMs + (toMs - fromMs) * spreadMs(0.5, 0.2, random);
}

/** Renews the certificate with a new key in time, again and again. */
export function createRenewal(deps: RenewalDeps): Renewal {
  const { clock, random, log } = deps;
  let timer: Timer | undefined;
  let stopped = false;
  let underWay = false;
  /** What is under way may still be of the authority before. */
  let onceMoreWithinMs: number | undefined;
  /** It is time, and nothing is under way: a timer may be set to try again. */
  let overdue: { attempt: number } | undefined;

  /** By whichever clock is there first: to the server, whose clock counts, a wall clock that was set back is no reason to come late. */
  const sleepUntil = (atUnixMs: number, dueMs = clock.nowMs() + atUnixMs - clock.unixMs()) => {
    if (stopped) return;
    const leftMs = Math.max(0, Math.min(atUnixMs - clock.unixMs(), dueMs - clock.nowMs()));
    timer = clock.after(Math.min(leftMs, LONGEST_SLEEP_MS), () => {
      if (clock.unixMs() < atUnixMs && clock.nowMs() < dueMs) return sleepUntil(atUnixMs, dueMs);
      void renewWithRetry(0);
    });
  };

  const renewWithRetry = async (attempt: number): Promise<void> => {
    overdue = undefined;
    underWay = true;
    try {
      const keyPem = generateKey();
      const { certificatePem, caPem } = await deps.renew(makeRequest(keyPem));
      await deps.keep({ keyPem, certificatePem, ...(caPem === '' ? {} : { caPem }) });
      log.info({ validTo: new X509Certificate(certificatePem).validTo }, 'renewed the certificate');
      // A server that issues certificates which are old already must not make us spin.
      if (onceMoreWithinMs !== undefined) sleepUntil(clock.unixMs() + random() * onceMoreWithinMs);
      else sleepUntil(Math.max(renewAtUnixMs(certificatePem, random), clock.unixMs() + LEAST_SLEEP_MS));
    } catch (error) {
      if (stopped) return;
      const inMs = RETRY.baseMs / 2 + backoffMs(attempt, random, RETRY);
      const why = error instanceof Error ? error.message : String(error);
      log.warn({ why, retryInMs: Math.round(inMs) }, 'could not renew the certificate yet');
      overdue = { attempt: attempt + 1 };
      timer = clock.after(inMs, () => void renewWithRetry(attempt + 1));
    } finally {
      underWay = false;
      onceMoreWithinMs = undefined;
    }
  };

  return {
    start() {
      const atUnixMs = renewAtUnixMs(deps.identity().certificatePem, random);
      if (atUnixMs > clock.unixMs()) sleepUntil(atUnixMs);
      else overdue = { attempt: 0 };
    },
    connected() {
      if (!overdue || stopped) return;
      const { attempt } = overdue;
      timer?.cancel();
      timer = clock.after(random() * OVERDUE_SPREAD_MS, () => void renewWithRetry(attempt));
    },
    soon(withinMs) {
      if (stopped) return;
      if (underWay) {
        onceMoreWithinMs = withinMs;
        return;
      }
      timer?.cancel();
      overdue = { attempt: 0 };
      timer = clock.after(random() * withinMs, () => void renewWithRetry(0));
    },
    stop() {
      stopped = true;
      timer?.cancel();
    },
  };
}
