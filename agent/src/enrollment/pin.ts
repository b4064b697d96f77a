import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { connect } from 'node:tls';
import { OpenlineError } from '@openline/proto/errors';
import { spkiHash } from './trust.ts';

const TIMEOUT_MS = 10_000;
/** Longer chains are nothing that we issue. */
const MAX_CHAIN = 8;

/**
 * Asks the server for its chain of certificates, sends nothing, and returns the CA whose key has the expected hash. That CA is
 * afterwards the only root with which the server is really spoken to, its name checked as always.
 * @param caHash "sha256:" and 64 hexadecimal digits: of the SubjectPublicKeyInfo, as kubeadm pins it; of several authorities, while one
 * replaces another, separated by commas
 * @returns the CA's certificate, PEM
 * @throws OpenlineError SERVER_UNTRUSTED, SERVER_UNREACHABLE
 */
export async function fetchPinnedCa(host: string, port: number, caHash: string): Promise<string> {
  const chain = await presentedChain(host, port);
  const wanted = caHash.toLowerCase().split(',');
  const index = chain.findIndex((certificate) => wanted.includes(`sha256:${spkiHash(certificate).toString('hex')}`));
  const ca = chain[index];
  const server = `${host}:${port}`;
  if (!ca) {
    throw new OpenlineError(
      'SERVER_UNTRUSTED',
      `${server} shows no certificate of the CA ${caHash}; nothing was sent to it. If the CA was replaced since, \`openline tokens create --join\` prints the new hash`,
    );
  }
  // Each must be signed by the next up to the CA: otherwise anybody could show our CA's certificate beside his own.
  for (let i = 0; i < index; i++) {
    const [child, parent] = [chain[i], chain[i + 1]];
    if (!child || !parent || !child.checkIssued(parent) || !child.verify(parent.publicKey)) {
      throw new OpenlineError(
        'SERVER_UNTRUSTED',
        `${server} shows the CA ${caHash}, which did not sign its certificate; nothing was sent to it`,
      );
    }
  }
  return ca.toString();
}

function presentedChain(host: string, port: number): Promise<X509Certificate[]> {
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port,
      // Only to read the chain, which is checked against the hash; nothing is written to this connection.
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
      ...(isIP(host) ? {} : { servername: host }),
    });
    const fail = (why: string, cause?: unknown) => {
      socket.destroy();
      reject(new OpenlineError('SERVER_UNREACHABLE', `${host}:${port}: ${why}`, { cause }));
    };
    const timeout = setTimeout(() => fail(`no answer within ${TIMEOUT_MS} ms`), TIMEOUT_MS);
    socket.once('error', (error) => {
      clearTimeout(timeout);
      // OpenSSL's own words would name a line of its source.
      const plain = /wrong version number|packet length too long/.test(error.message);
      fail(plain ? 'what listens there does not speak TLS' : error.message, error);
    });
    socket.once('secureConnect', () => {
      clearTimeout(timeout);
      const chain: X509Certificate[] = [];
      let next = socket.getPeerX509Certificate();
      while (next && chain.length < MAX_CHAIN && !chain.some((seen) => seen.fingerprint256 === next?.fingerprint256)) {
        chain.push(next);
        next = next.issuerCertificate;
      }
      socket.destroy();
      resolve(chain);
    });
  });
}
