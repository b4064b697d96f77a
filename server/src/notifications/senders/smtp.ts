import { Readable } from 'node:stream';
import type { ResolveSecret } from '../../declared/resolve-secret.ts';
import type { ChannelSpec, SmtpTarget } from '../channels/channel.ts';
import { renderMail } from '../templates/render.ts';
import { composeMail } from './mail.ts';
import { type Delivery, type Hand, NotHandedOver, type RefusedRecipient, reasonOf, type Sender } from './sender.ts';
import { createSmtpPool, type PooledConnection } from './smtp-connection.ts';

/** Mail. What SMTP promises ends with the answer to the dot at the end of the data: see docs/notifications.md, "Exactly once". */
export function createSmtpSender(target: SmtpTarget, spec: ChannelSpec, resolveSecret: ResolveSecret): Sender {
  const pool = createSmtpPool(target, resolveSecret);
  return {
    async send(message, hand) {
      if (message.recipients.length === 0) return { kind: 'refused', reason: 'it has no recipients' };
      const mail = renderMail(message, hand.templates, spec.templates);
      const bytes = await composeMail(message, mail, target);
      const envelope = { from: target.from.address, to: [...message.recipients], size: bytes.length };
      for (const fresh of [false, true]) {
        let connection: PooledConnection;
        try {
          connection = await pool.take(hand.signal, fresh);
        } catch (error) {
          return { kind: 'away', reason: reasonOf(error) };
        }
        const outcome = await transact(connection, envelope, bytes, hand);
        // A connection that was idle and turns out to be dead has cost nothing yet.
        if (outcome !== 'stale') return outcome;
      }
      return { kind: 'away', reason: 'the mail server closes every connection' };
    },
    close: () => pool.close(),
  };
}

type Envelope = { from: string; to: string[]; size: number };

/** One message over one connection. */
function transact(
  { smtp, reused, release, discard }: PooledConnection,
  envelope: Envelope,
  bytes: Buffer,
  { handOver, signal }: Hand,
): Promise<Delivery | 'stale'> {
  return new Promise((resolve, reject) => {
    let handedOver = false;
    let lost: NotHandedOver | undefined;
    const body = heldBack(bytes, async () => {
      // The connection may have ended while the body was on its way.
      signal.throwIfAborted();
      await handOver().catch((error: unknown) => {
        lost = error instanceof NotHandedOver ? error : new NotHandedOver(reasonOf(error), { cause: error });
        throw lost;
      });
      // Or while that was recorded: it was taken for kept back then, and must be.
      signal.throwIfAborted();
      handedOver = true;
    });
    const settle = (outcome: Delivery | 'stale') => {
      signal.removeEventListener('abort', onAbort);
      resolve(outcome);
    };
    const onAbort = () => {
      discard();
      const reason = reasonOf(signal.reason);
      settle(
        handedOver
          ? { kind: 'uncertain', reason: `${reason}, after the message was handed over` }
          : { kind: 'away', reason },
      );
    };
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) return onAbort();
    smtp.send(envelope, body, (error, info) => {
      if (lost !== undefined) {
        // Ended without the dot: the mail server throws away what it got.
        discard();
        signal.removeEventListener('abort', onAbort);
        return reject(lost);
      }
      if (error === null && info !== undefined) {
        release();
        const refused = (info.rejectedErrors ?? []).map(refusedOf);
        return settle({
          kind: 'delivered',
          answer: firstLine(info.response),
          ...(refused.length > 0 ? { refused } : {}),
        });
      }
      if (error?.responseCode !== undefined && error.responseCode !== 421 && !smtp.destroyed)
        releaseAfterReset(smtp, release, discard);
      else discard();
      if (error !== null && !handedOver && reused && error.responseCode === undefined) return settle('stale');
      settle(verdictOf(error, handedOver));
    });
  });
}

/** All bytes, then waits: the stream's end makes the dot. */
function heldBack(bytes: Buffer, beforeEnd: () => Promise<void>): Readable {
  let given = false;
  return new Readable({
    read() {
      if (!given) {
        given = true;
        this.push(bytes);
        return;
      }
      beforeEnd().then(
        () => this.push(null),
        (error: unknown) => this.destroy(error instanceof Error ? error : new Error(String(error))),
      );
    },
  });
}

interface SmtpError extends Error {
  readonly responseCode?: number | undefined;
  readonly response?: string | undefined;
  readonly command?: string | undefined;
  readonly code?: string | undefined;
  readonly rejectedErrors?: readonly SmtpError[] | undefined;
}

/** What an error of the library means for the message. Pure. */
export function verdictOf(error: SmtpError | null, handedOver: boolean): Delivery {
  if (error === null) return { kind: 'uncertain', reason: 'the mail server gave no answer' };
  const { responseCode, command, response } = error;
  const reason = firstLine(response ?? '') || reasonOf(error);
  if (responseCode === undefined) {
    if (error.code === 'EMESSAGE') return { kind: 'refused', reason };
    return handedOver
      ? { kind: 'uncertain', reason: `no answer after the message was handed over: ${reason}` }
      : { kind: 'away', reason };
  }
  if (responseCode === 421) return { kind: 'away', reason };
  if (command === 'RCPT TO' || command === 'DATA') {
    const forGood = (error.rejectedErrors ?? [error]).every((each) => (each.responseCode ?? 0) >= 500);
    return forGood ? { kind: 'refused', reason } : { kind: 'deferred', reason };
  }
  // 552: too large, which is the message's own fault. Whatever else is said to MAIL FROM or AUTH is about us.
  return responseCode === 552 ? { kind: 'refused', reason } : { kind: 'away', reason };
}

function refusedOf(error: SmtpError & { readonly recipient?: string | undefined }): RefusedRecipient {
  return {
    recipient: error.recipient ?? '',
    reason: firstLine(error.response ?? '') || reasonOf(error),
    forGood: (error.responseCode ?? 0) >= 500,
  };
}

/** The transaction that was refused must be ended before the next one. */
function releaseAfterReset(smtp: PooledConnection['smtp'], release: () => void, discard: () => void): void {
  smtp.reset((error) => (error === null ? release() : discard()));
}

function firstLine(text: string): string {
  return (text.split('\n')[0] ?? '').replace(/\p{Cc}/gu, ' ').slice(0, 500);
}
