import { connect as connectTcp, type Socket } from 'node:net';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import type { ResolveSecret } from '../../declared/resolve-secret.ts';
import type { SmtpTarget } from '../channels/channel.ts';

/** Connections to one mail server, kept for the next message. */
export interface SmtpPool {
  /** @param fresh not one that was idle. @throws Error when there is none to be had; the caller's fault never */
  take(signal: AbortSignal, fresh: boolean): Promise<PooledConnection>;
  close(): void;
}

export interface PooledConnection {
  readonly smtp: SMTPConnection;
  /** It was idle: the server may have given it up without a word that has reached us. */
  readonly reused: boolean;
  /** It can be used for the next message. */
  release(): void;
  /** Ends it, without a word. */
  discard(): void;
}

const IDLE_MS = 60_000;
const MAX_IDLE = 10;
/** Some servers close a connection after a hundred messages. */
const MAX_MESSAGES = 90;

export function createSmtpPool(target: SmtpTarget, resolveSecret: ResolveSecret): SmtpPool {
  const idle: { smtp: SMTPConnection; messages: number; timer: NodeJS.Timeout }[] = [];
  let closed = false;

  function forget(smtp: SMTPConnection): void {
    const index = idle.findIndex((each) => each.smtp === smtp);
    if (index >= 0) clearTimeout(idle.splice(index, 1)[0]?.timer);
  }

  function pooled(smtp: SMTPConnection, messages: number, reused: boolean): PooledConnection {
    return {
      smtp,
      reused,
      release() {
        if (closed || smtp.destroyed || messages + 1 >= MAX_MESSAGES || idle.length >= MAX_IDLE) return smtp.quit();
        const timer = setTimeout(() => {
          forget(smtp);
          smtp.quit();
        }, IDLE_MS);
        timer.unref();
        idle.push({ smtp, messages: messages + 1, timer });
      },
      discard: () => smtp.close(),
    };
  }

  return {
    async take(signal, fresh) {
      for (;;) {
        const last = fresh ? undefined : idle.pop();
        if (last === undefined) break;
        clearTimeout(last.timer);
        if (!last.smtp.destroyed) return pooled(last.smtp, last.messages, true);
      }
      const smtp = await open(target, resolveSecret, signal);
      smtp.on('error', () => forget(smtp));
      smtp.on('end', () => forget(smtp));
      return pooled(smtp, 0, false);
    },
    close() {
      closed = true;
      for (const { smtp, timer } of idle.splice(0)) {
        clearTimeout(timer);
        smtp.quit();
      }
    },
  };
}

async function open(target: SmtpTarget, resolveSecret: ResolveSecret, signal: AbortSignal): Promise<SMTPConnection> {
  const { host, port, tls, ca, auth } = target;
  // Before the server is asked: a secret that is missing is our own trouble.
  const password = auth === undefined ? '' : resolveSecret(auth.password);
  const connection = await connected(host, port, signal);
  const smtp = new SMTPConnection({
    host,
    port,
    connection,
    secure: tls === 'tls',
    requireTLS: tls === 'starttls',
    ignoreTLS: tls === 'none',
    tls: { minVersion: 'TLSv1.2', ...(ca === undefined ? {} : { ca }) },
    greetingTimeout: 30_000,
    // The time for a message is watched by the one who sends it.
    socketTimeout: 10 * 60_000,
    socketCloseTimeout: 2_000,
    maxResponseSize: 64 * 1024,
    logger: false,
  });
  // Without a listener an error would end the process; those of a message come with its answer.
  smtp.on('error', () => {});
  const onAbort = () => smtp.close();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (error: unknown) => reject(error instanceof Error ? error : new Error('the connection was closed'));
      smtp.once('error', fail);
      smtp.once('end', fail);
      signal.addEventListener('abort', () => fail(signal.reason), { once: true });
      smtp.connect((error) => (error ? fail(error) : resolve()));
    });
    if (auth !== undefined) await login(smtp, auth.user, password);
    return smtp;
  } catch (error) {
    smtp.close();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function connected(host: string, port: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host, port });
    const onAbort = () => {
      socket.destroy();
      reject(signal.reason instanceof Error ? signal.reason : new Error('the connection took too long'));
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', (error) => {
      signal.removeEventListener('abort', onAbort);
      reject(error);
    });
    socket.once('connect', () => {
      signal.removeEventListener('abort', onAbort);
      resolve(socket);
    });
  });
}

function login(smtp: SMTPConnection, user: string, pass: string): Promise<void> {
  if (!smtp.allowsAuth) return Promise.reject(new Error('the mail server offers no authentication'));
  return new Promise((resolve, reject) => {
    smtp.login({ credentials: { user, pass } }, (error) => (error ? reject(error) : resolve()));
  });
}
