import { duplexPair } from 'node:stream';
import { connect, createServer, type TLSSocket } from 'node:tls';
import { dnsOrAddress, generateKeys, issue, type Leaf, privateKeyPem, SERVER_NAME } from '../x509.ts';
import type { Signer } from './signer.ts';

const TTL_MS = 3_600_000;

/**
 * Has a server and an agent meet by certificates of this authority, before anybody else is shown one: what a chain forbids (its end, the
 * length of the path, uses, names) is found by nothing but checking it as peers do.
 * @throws Error which of the two would be refused, and why
 */
export async function prove(signer: Signer, names: readonly string[], now: Date): Promise<void> {
  const ca = signer.authority.rootsPem;
  const server = await shown(signer, { usage: 'server', names: names.map(dnsOrAddress) }, now);
  const agent = await shown(
    signer,
    { usage: 'client', names: [{ type: 'url', value: 'spiffe://openline/agent/a' }] },
    now,
  );
  const listener = createServer({ ca, ...server, requestCert: true, rejectUnauthorized: false });
  const [here, there] = duplexPair();
  const accepted = new Promise<TLSSocket>((resolve) => listener.once('secureConnection', resolve));
  listener.emit('connection', here);
  // Of names only what the chain forbids is asked here.
  const client = connect({ socket: there, ca, ...agent, checkServerIdentity: () => undefined });
  const trusted = new Promise<void>((resolve) => client.once('secureConnect', resolve));
  const refused = new Promise<never>((_, reject) => {
    client.on('error', (error) => reject(new Error(`agents would refuse the server’s certificate: ${error.message}`)));
  });
  try {
    const [{ authorized, authorizationError }] = await Promise.race([Promise.all([accepted, trusted]), refused]);
    if (!authorized) throw new Error(`the server would refuse the certificates of agents: ${authorizationError}`);
  } finally {
    client.destroy();
    here.destroy();
  }
}

async function shown({ issuer, authority }: Signer, leaf: Pick<Leaf, 'usage' | 'names'>, now: Date) {
  const { publicKey, privateKey } = await generateKeys();
  const { certificatePem } = await issue(issuer, { publicKey, commonName: SERVER_NAME, ...leaf }, now, TTL_MS);
  return { cert: certificatePem + authority.chainPem, key: await privateKeyPem(privateKey) };
}
