import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';

/** P-256, PKCS #8. */
export function generateKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/**
 * A certificate request (PKCS #10, RFC 2986), DER, signed with ECDSA and SHA-256. The server takes only its key. Written out here
 * because everything but the key and the signature is constant, and a library for it would weigh more than the rest of the agent.
 */
export function makeRequest(keyPem: string): Buffer {
  const key = createPrivateKey(keyPem);
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const info = sequence(VERSION_0, SUBJECT, spki, NO_ATTRIBUTES);
  return sequence(info, ECDSA_WITH_SHA256, bitString(sign('sha256', info, key)));
}

function tlv(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const header =
    length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(header), content]);
}

const sequence = (...parts: readonly Buffer[]) => tlv(0x30, ...parts);
/** No unused bits at the end. */
const bitString = (bits: Buffer) => tlv(0x03, Buffer.from([0]), bits);

const VERSION_0 = Buffer.from([0x02, 0x01, 0x00]);
const OID_COMMON_NAME = Buffer.from('0603550403', 'hex');
const SUBJECT = sequence(tlv(0x31, sequence(OID_COMMON_NAME, tlv(0x0c, Buffer.from('openline-agent')))));
const NO_ATTRIBUTES = Buffer.from([0xa0, 0x00]);
const ECDSA_WITH_SHA256 = sequence(Buffer.from('06082a8648ce3d040302', 'hex'));
