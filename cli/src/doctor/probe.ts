import { isIP } from 'node:net';
import { connect } from 'node:tls';
import type { Connection } from '../config/locate.ts';

export type Probe =
  | { readonly kind: 'unreachable'; readonly reason: string }
  | {
      readonly kind: 'answered';
      readonly tookMs: number;
      readonly protocol: string;
      /** Why its certificate is not trusted; undefined: it is. */
      readonly untrusted: string | undefined;
      readonly expiresMs: number | undefined;
    };

/** One TLS handshake of our own: gRPC would only say UNAVAILABLE. Sends nothing. */
export function probeTls(connection: Connection, timeoutMs: number): Promise<Probe> {
  const { host, port } = connection.address;
  const startMs = performance.now();
  return new Promise((resolve) => {
    const socket = connect({
      host,
      port,
      ALPNProtocols: ['h2'],
      // The verdict is read below, so that an untrusted certificate can be described.
      rejectUnauthorized: false,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(connection.ca === undefined ? {} : { ca: connection.ca }),
    });
    const end = (probe: Probe) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(probe);
    };
    const timer = setTimeout(
      () => end({ kind: 'unreachable', reason: `no answer within ${timeoutMs / 1000} s` }),
      timeoutMs,
    );
    socket.once('error', (error) => end({ kind: 'unreachable', reason: error.message || String(error) }));
    socket.once('secureConnect', () => {
      const expires = Date.parse(socket.getPeerCertificate().valid_to);
      end({
        kind: 'answered',
        tookMs: Math.round(performance.now() - startMs),
        protocol: socket.getProtocol() ?? 'TLS',
        untrusted: socket.authorized ? undefined : String(socket.authorizationError),
        expiresMs: Number.isNaN(expires) ? undefined : expires,
      });
    });
  });
}
