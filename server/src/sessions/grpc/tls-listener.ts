import { type KeyObject, X509Certificate } from 'node:crypto';
import { type AddressInfo, createServer as createNetServer, type Socket } from 'node:net';
import { createServer as createTlsServer, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { type ErrorCode, OpenlineError } from '@openline/proto/errors';
import type { TlsMaterial } from '../../enrollment/enrollment.ts';

/** A TLS connection of somebody, perhaps an agent. */
export interface Connection {
  readonly remoteAddress: string;
  readonly tlsProtocol: string;
  readonly tlsCipher: string;
  readonly identity: Identity;
  /** Moves when the identity is renewed over this connection. */
  certificateExpiresUnixMs: number;
  /** It carries what it came for; without that it is closed after a while. */
  inUse: boolean;
  /** What gRPC said when a message was above the limit. */
  tooLarge?: string;
  socketBytes(): { up: number; down: number };
  destroy(): void;
}

export type Identity =
  | { readonly kind: 'agent'; readonly agentId: string }
  /** No client certificate: good for Enroll only. */
  | { readonly kind: 'none' }
  | {
      readonly kind: 'refused';
      readonly code: Extract<ErrorCode, 'CERTIFICATE_MISSING' | 'CERTIFICATE_EXPIRED'>;
      readonly why: string;
    };

export interface TlsListenerDeps {
  readonly trustDomain: string;
  /** Of anybody, at a time; more are closed at once, so that files are left for the rest of the server. */
  readonly maxConnections: number;
  /** A handshake is done: hand the socket to gRPC. */
  onConnection(socket: TLSSocket): void;
  onHandshake(outcome: 'ok' | 'failed' | 'abandoned', remoteAddress: string, why: string): void;
}

export interface TlsListener {
  readonly port: number;
  connection(remoteAddress: string): Connection | undefined;
  /** New connections use it; those that are open stay. */
  setMaterial(material: TlsMaterial): void;
  stopAccepting(): void;
  destroyAll(): void;
}

/** Handshakes at a time. A fleet that comes back at once queues here, where a waiting socket costs next to nothing. */
const HANDSHAKES_AT_ONCE = 64;
/** After this a handshake no longer counts among those: it waits for its peer, not for us. Who connects and says nothing holds up nobody. */
const HANDSHAKE_SLOT_MS = 500;
const HANDSHAKE_TIMEOUT_MS = 10_000;
const UNUSED_TIMEOUT_MS = 30_000;
const BACKLOG = 4_096;

/**
 * TLS is ours, gRPC gets the finished socket: so one sees the bytes on the wire and why a certificate was refused, a certificate is
 * changed without closing anything, and Enroll can come without a client certificate on the same port (ADR 0002).
 * @throws OpenlineError PORT_IN_USE
 */
export async function listenTls(
  address: { readonly host: string; readonly port: number },
  material: TlsMaterial,
  deps: TlsListenerDeps,
): Promise<TlsListener> {
  const connections = new Map<string, Connection>();
  const sockets = new Set<Socket>();
  const waiting: Socket[] = [];
  const underHandshake = new Set<string>();
  let signers = signerKeys(material);

  const tls = createTlsServer({
    ...contextOptions(material),
    requestCert: true,
    // Enroll has no certificate yet. Who has none, or a wrong one, gets no further than `Connection.identity`.
    rejectUnauthorized: false,
    ALPNProtocols: ['h2'],
    minVersion: 'TLSv1.3',
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  });
  const rawSockets = new Map<string, Socket>();

  const net = createNetServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 }, (raw) => {
    sockets.add(raw);
    const key = addressOf(raw);
    rawSockets.set(key, raw);
    raw.on('error', () => raw.destroy());
    raw.once('close', () => {
      sockets.delete(raw);
      rawSockets.delete(key);
      connections.delete(key);
      finishHandshake(key);
    });
    if (underHandshake.size < HANDSHAKES_AT_ONCE) startHandshake(raw, key);
    else waiting.push(raw);
  });

  net.maxConnections = deps.maxConnections;
  net.on('drop', (peer) => {
    const address = addressOf({ remoteAddress: peer?.remoteAddress, remotePort: peer?.remotePort });
    deps.onHandshake('failed', address, `there are ${deps.maxConnections} connections already`);
  });

  function startHandshake(raw: Socket, key: string): void {
    underHandshake.add(key);
    setTimeout(() => finishHandshake(key), HANDSHAKE_SLOT_MS).unref();
    tls.emit('connection', raw);
  }

  function finishHandshake(key: string): void {
    if (!underHandshake.delete(key)) return;
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      if (next.destroyed) continue;
      startHandshake(next, addressOf(next));
      return;
    }
  }

  tls.on('secureConnection', (socket) => {
    const key = addressOf(socket);
    finishHandshake(key);
    socket.on('error', () => socket.destroy());
    if (socket.alpnProtocol !== 'h2') {
      deps.onHandshake('failed', key, 'the peer does not speak HTTP/2');
      socket.destroy();
      return;
    }
    const raw = rawSockets.get(key);
    const { identity, expiresUnixMs } = identityOf(socket, deps.trustDomain, signers);
    const connection: Connection = {
      remoteAddress: key,
      tlsProtocol: socket.getProtocol() ?? '',
      tlsCipher: socket.getCipher().name,
      identity,
      certificateExpiresUnixMs: expiresUnixMs,
      inUse: false,
      socketBytes: () => ({ up: raw?.bytesRead ?? 0, down: raw?.bytesWritten ?? 0 }),
      destroy: () => socket.destroy(),
    };
    connections.set(key, connection);
    setTimeout(() => {
      if (!connection.inUse) socket.destroy();
    }, UNUSED_TIMEOUT_MS).unref();
    deps.onHandshake('ok', key, '');
    deps.onConnection(socket);
  });
  tls.on('tlsClientError', (error, socket) => {
    // Who hangs up before the end (a probe of the port, an agent that only looks at the certificate) has no address any more.
    if (socket.remoteAddress === undefined) deps.onHandshake('abandoned', '', error.message);
    else deps.onHandshake('failed', addressOf(socket), error.message);
    socket.destroy();
  });

  await new Promise<void>((resolve, reject) => {
    net.once('error', (cause: NodeJS.ErrnoException) => {
      const where = `${address.host}:${address.port}`;
      const inUse = cause.code === 'EADDRINUSE';
      reject(
        inUse
          ? new OpenlineError('PORT_IN_USE', `another program listens on ${where} (agentListen)`, { cause })
          : cause,
      );
    });
    net.listen({ ...address, backlog: BACKLOG }, resolve);
  });
  net.on('error', () => {});
  return {
    port: (net.address() as AddressInfo).port,
    connection: (remoteAddress) => connections.get(remoteAddress),
    setMaterial(next) {
      tls.setSecureContext(contextOptions(next));
      signers = signerKeys(next);
    },
    stopAccepting: () => void net.close(),
    destroyAll() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

function contextOptions({ certificatePem, keyPem, caPem }: TlsMaterial): SecureContextOptions {
  return { cert: certificatePem, key: keyPem, ca: caPem };
}

/** Of those who may have signed a certificate of an agent; none where every root signs for us alone, and TLS has checked enough. */
function signerKeys({ caPem, signersPem }: TlsMaterial): readonly KeyObject[] {
  if (signersPem.every((signer) => caPem.includes(signer))) return [];
  return signersPem.map((signer) => new X509Certificate(signer).publicKey);
}

function addressOf(socket: { remoteAddress?: string | undefined; remotePort?: number | undefined }): string {
  const address = socket.remoteAddress ?? '';
  // As grpc-js writes it in getPeer().
  return address.includes(':') ? `[${address}]:${socket.remotePort}` : `${address}:${socket.remotePort}`;
}

function identityOf(
  socket: TLSSocket,
  trustDomain: string,
  signers: readonly KeyObject[],
): { identity: Identity; expiresUnixMs: number } {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { identity: { kind: 'none' }, expiresUnixMs: Number.POSITIVE_INFINITY };
  if (!socket.authorized) {
    const why = String(socket.authorizationError);
    const code = why === 'CERT_HAS_EXPIRED' ? 'CERTIFICATE_EXPIRED' : 'CERTIFICATE_MISSING';
    return { identity: { kind: 'refused', code, why }, expiresUnixMs: 0 };
  }
  if (signers.length > 0 && !signers.some((key) => certificate.verify(key))) {
    const why = 'another authority below the same root signed the certificate';
    return { identity: { kind: 'refused', code: 'CERTIFICATE_MISSING', why }, expiresUnixMs: 0 };
  }
  const names = certificate.subjectAltName?.split(', ') ?? [];
  const prefix = `URI:spiffe://${trustDomain}/agent/`;
  const agentId = names.find((name) => name.startsWith(prefix))?.slice(prefix.length);
  if (agentId === undefined) {
    return {
      identity: { kind: 'refused', code: 'CERTIFICATE_MISSING', why: 'the certificate names no agent' },
      expiresUnixMs: 0,
    };
  }
  return {
    identity: { kind: 'agent', agentId },
    expiresUnixMs: certificate.validToDate.getTime(),
  };
}
