import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { SMTPServer, type SMTPServerOptions } from 'smtp-server';
import { type ParsedMail, parseMail } from './parse-mail.ts';

/** A real SMTP server for tests: STARTTLS or TLS, authentication, and whatever goes wrong with mail servers. */

export interface ReceivedMail extends ParsedMail {
  readonly from: string;
  readonly to: readonly string[];
  readonly secure: boolean;
  readonly user: string | undefined;
  /** In the order of their acceptance. */
  readonly session: string;
}

export interface MailServerOptions {
  readonly key?: string;
  readonly cert?: string;
  /** TLS from the first byte; otherwise STARTTLS is offered when there is a key. */
  readonly implicitTls?: boolean;
  readonly user?: { readonly name: string; readonly password: string };
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: a free one. */
  readonly port?: number;
  /** 5xx and 4xx for recipients: address → response code. */
  readonly rejects?: Readonly<Record<string, number>>;
  /** The answer to the sender: a response code other than 250. */
  readonly rejectsSender?: () => number | undefined;
  /** Called with each mail before it is answered; what it throws (`responseCode`) is the answer. */
  readonly beforeAccept?: (mail: ReceivedMail) => Promise<void> | void;
}

export interface MailServer {
  readonly port: number;
  /** Accepted with 250, in that order. */
  readonly mails: readonly ReceivedMail[];
  /** Resolves when so many were accepted in all. Default 10 s. */
  received(count: number, timeoutMs?: number): Promise<readonly ReceivedMail[]>;
  /** Connections so far. */
  connections(): number;
  /** Ends everything at once, as a crash would; nothing listens any more. */
  close(): Promise<void>;
}

export async function startMailServer(options: MailServerOptions = {}): Promise<MailServer> {
  const mails: ReceivedMail[] = [];
  const waiting = new Set<() => void>();
  let connections = 0;
  const sockets = new Set<{ destroy(): void }>();

  const smtpOptions: SMTPServerOptions = {
    logger: false,
    disableReverseLookup: true,
    secure: options.implicitTls === true,
    ...(options.key !== undefined && options.cert !== undefined ? { key: options.key, cert: options.cert } : {}),
    disabledCommands: [
      ...(options.key === undefined ? ['STARTTLS'] : []),
      ...(options.user === undefined ? ['AUTH'] : []),
    ],
    onConnect(_session, done) {
      connections++;
      done();
    },
    onAuth(auth, _session, done) {
      const { user } = options;
      if (user !== undefined && auth.username === user.name && auth.password === user.password)
        done(null, { user: user.name });
      else done(Object.assign(new Error('wrong password'), { responseCode: 535 }));
    },
    onMailFrom(_address, _session, done) {
      const code = options.rejectsSender?.();
      if (code === undefined) done();
      else done(Object.assign(new Error('not from you'), { responseCode: code }));
    },
    onRcptTo({ address }, _session, done) {
      const code = options.rejects?.[address];
      if (code === undefined) done();
      else done(Object.assign(new Error('no such mailbox'), { responseCode: code }));
    },
    onData(stream, session, done) {
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const mail: ReceivedMail = {
          ...parseMail(Buffer.concat(chunks)),
          from: session.envelope.mailFrom === false ? '' : session.envelope.mailFrom.address,
          to: session.envelope.rcptTo.map(({ address }) => address),
          secure: session.secure,
          user: typeof session.user === 'string' ? session.user : undefined,
          session: session.id,
        };
        const looked = async () => options.beforeAccept?.(mail);
        looked().then(
          () => {
            mails.push(mail);
            done(null, `OK queued as ${mails.length}`);
            for (const look of [...waiting]) look();
          },
          (error: Error) => done(error),
        );
      });
    },
  };
  const server = new SMTPServer(smtpOptions);
  server.on('error', () => {}); // a connection that broke is what some tests are about
  server.server.on('connection', (socket: { destroy(): void; once(event: 'close', listener: () => void): void }) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(options.port ?? 0, options.host ?? '127.0.0.1');
  await once(server.server, 'listening');
  const { port } = server.server.address() as AddressInfo;

  return {
    port,
    mails,
    connections: () => connections,
    received(count, timeoutMs = 25_000) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(look);
          reject(
            new Error(
              `${mails.length} of ${count} mails came within ${timeoutMs} ms: ${mails.map(({ subject }) => subject).join(', ')}`,
            ),
          );
        }, timeoutMs);
        const look = () => {
          if (mails.length < count) return;
          clearTimeout(timer);
          waiting.delete(look);
          resolve(mails);
        };
        waiting.add(look);
        look();
      });
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
