import { createHash, createPrivateKey, createPublicKey, randomBytes, sign, verify } from 'node:crypto';
import { OpenlineError } from '@openline/proto/errors';

/**
 * Signatures and keys in the format of minisign (https://jedisct1.github.io/minisign/#signature-format), so that the `minisign` of any
 * distribution makes and checks them too.
 */

/** A key that signatures are checked with. */
export interface PublicKey {
  /** As minisign prints it: 16 upper-case hexadecimal digits. */
  readonly keyId: string;
  /** Ed25519, 32 bytes. */
  readonly key: Uint8Array;
}

export interface SecretKey {
  readonly keyId: string;
  /** Ed25519 seed, 32 bytes. */
  readonly seed: Uint8Array;
}

/** What goes into the two files. */
export interface KeyPairText {
  readonly keyId: string;
  readonly publicKey: string;
  /** Unencrypted, as `minisign -G -W` writes it: keep it 0600. */
  readonly secretKey: string;
}

const UNTRUSTED = 'untrusted comment: ';
const TRUSTED = 'trusted comment: ';
/** The limits of minisign itself. */
const MAX_COMMENT_BYTES = 1000;
const MAX_TRUSTED_COMMENT_BYTES = 8000;
const MAX_SIGNATURE_CHARS = 16 * 1024;

const PURE = Buffer.from('Ed');
const PREHASHED = Buffer.from('ED');
/** "B2": the checksum algorithm that minisign names in every secret key; an unencrypted key carries zeros for the checksum. */
const CHECKSUM = Buffer.from('B2');
const NOT_ENCRYPTED = Buffer.from([0, 0]);

/** @param comment one line, shown by nobody but a reader of the public key file */
export function generateKeyPair(comment: string): KeyPairText {
  checkComment(comment, MAX_COMMENT_BYTES);
  const id = randomBytes(8);
  const seed = randomBytes(32);
  const key = publicHalf(seed);
  const secret = Buffer.concat([PURE, NOT_ENCRYPTED, CHECKSUM, Buffer.alloc(48), id, seed, key, Buffer.alloc(32)]);
  const keyId = idText(id);
  return {
    keyId,
    publicKey: publicKeyText({ keyId, seed }, comment),
    secretKey: `${UNTRUSTED}minisign secret key ${keyId}\n${secret.toString('base64')}\n`,
  };
}

/** The file of the key that checks what this one signs. @param comment one line */
export function publicKeyText({ keyId, seed }: SecretKey, comment: string): string {
  checkComment(comment, MAX_COMMENT_BYTES);
  const id = Buffer.from(keyId, 'hex').reverse();
  return `${UNTRUSTED}${comment}\n${Buffer.concat([PURE, id, publicHalf(seed)]).toString('base64')}\n`;
}

/**
 * @param text the file, or only its base64 line
 * @throws OpenlineError CONFIG_INVALID
 */
export function parsePublicKey(text: string): PublicKey {
  const raw = keyBytes(text);
  if (raw?.length !== 42 || !raw.subarray(0, 2).equals(PURE)) {
    throw new OpenlineError(
      'CONFIG_INVALID',
      'this is no minisign public key (two lines; the second begins with "RW")',
    );
  }
  return { keyId: idText(raw.subarray(2, 10)), key: raw.subarray(10) };
}

/** @throws OpenlineError CONFIG_INVALID; the message never carries anything of the key */
export function parseSecretKey(text: string): SecretKey {
  const raw = keyBytes(text);
  if (raw?.length !== 158 || !raw.subarray(0, 2).equals(PURE) || !raw.subarray(4, 6).equals(CHECKSUM)) {
    throw new OpenlineError('CONFIG_INVALID', 'this is no minisign secret key');
  }
  if (!raw.subarray(2, 4).equals(NOT_ENCRYPTED)) {
    throw new OpenlineError(
      'CONFIG_INVALID',
      'the secret key is encrypted with a password, which Openline does not ask for: sign with `minisign -S` instead, or make a key with `minisign -G -W`',
    );
  }
  const seed = raw.subarray(62, 94);
  if (!publicHalf(seed).equals(raw.subarray(94, 126))) {
    throw new OpenlineError('CONFIG_INVALID', 'the secret key is damaged: its two halves do not belong together');
  }
  return { keyId: idText(raw.subarray(54, 62)), seed };
}

/**
 * @param trustedComment one line; it is signed too
 * @returns the text of the `.minisig` file
 */
export function signPack(content: Uint8Array, secretKey: SecretKey, trustedComment: string): string {
  checkComment(trustedComment, MAX_TRUSTED_COMMENT_BYTES);
  const key = privateKeyOf(secretKey.seed);
  const signature = sign(null, blake2b(content), key);
  const globalSignature = sign(null, Buffer.concat([signature, Buffer.from(trustedComment)]), key);
  const id = Buffer.from(secretKey.keyId, 'hex').reverse();
  return [
    `${UNTRUSTED}signature from openline secret key ${secretKey.keyId}`,
    Buffer.concat([PREHASHED, id, signature]).toString('base64'),
    `${TRUSTED}${trustedComment}`,
    globalSignature.toString('base64'),
    '',
  ].join('\n');
}

/**
 * @throws OpenlineError PACK_SIGNATURE_INVALID it is none, or not of these bytes
 * @throws OpenlineError PACK_KEY_UNTRUSTED none of the keys made it
 */
export function verifyPack(
  content: Uint8Array,
  signatureText: string,
  trustedKeys: readonly PublicKey[],
): { keyId: string; trustedComment: string } {
  const parsed = parseSignature(signatureText);
  const candidates = trustedKeys.filter((key) => key.keyId === parsed.keyId);
  if (candidates.length === 0) {
    const known = trustedKeys.map((key) => key.keyId).join(', ') || 'none';
    throw new OpenlineError(
      'PACK_KEY_UNTRUSTED',
      `the pack is signed with key ${parsed.keyId}, which is not trusted here (trusted: ${known})`,
    );
  }
  const signed = parsed.prehashed ? blake2b(content) : content;
  const signedComment = Buffer.concat([parsed.signature, Buffer.from(parsed.trustedComment)]);
  // A key id is eight bytes that anybody may choose, so two keys can carry the same one.
  const maker = candidates.find((key) => verify(null, signed, publicKeyOf(key.key), parsed.signature));
  if (maker === undefined) {
    throw invalid(
      `the signature of key ${parsed.keyId} does not belong to these bytes: the pack was changed after signing`,
    );
  }
  if (!verify(null, signedComment, publicKeyOf(maker.key), parsed.globalSignature)) {
    throw invalid(`the trusted comment was changed after signing with key ${parsed.keyId}`);
  }
  return { keyId: parsed.keyId, trustedComment: parsed.trustedComment };
}

interface ParsedSignature {
  readonly prehashed: boolean;
  readonly keyId: string;
  readonly signature: Buffer;
  readonly trustedComment: string;
  readonly globalSignature: Buffer;
}

function parseSignature(text: string): ParsedSignature {
  if (text.trim() === '') throw invalid('the pack has no signature');
  if (text.length > MAX_SIGNATURE_CHARS) throw invalid('the signature file is far too long to be one of minisign');
  const [untrusted = '', first = '', trusted = '', second = '', ...rest] = text.split(/\r?\n/);
  const body = decodeBase64(first);
  const globalSignature = decodeBase64(second);
  const algorithm = body?.subarray(0, 2);
  const shaped = untrusted.startsWith(UNTRUSTED) && trusted.startsWith(TRUSTED) && rest.every((line) => line === '');
  if (!shaped || body?.length !== 74 || globalSignature?.length !== 64 || algorithm === undefined) {
    throw invalid('this is no minisign signature (four lines: comment, signature, trusted comment, signature)');
  }
  if (!algorithm.equals(PREHASHED) && !algorithm.equals(PURE)) {
    throw invalid('the signature uses an algorithm that minisign does not know');
  }
  return {
    prehashed: algorithm.equals(PREHASHED),
    keyId: idText(body.subarray(2, 10)),
    signature: body.subarray(10),
    trustedComment: trusted.slice(TRUSTED.length),
    globalSignature,
  };
}

function invalid(message: string): OpenlineError {
  return new OpenlineError('PACK_SIGNATURE_INVALID', message);
}

function keyBytes(text: string): Buffer | undefined {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  const encoded = lines[0]?.startsWith(UNTRUSTED) ? lines[1] : lines[0];
  return lines.length > 2 || encoded === undefined ? undefined : decodeBase64(encoded.trim());
}

/** Node skips what is no base64; a signature file has to be exact. */
function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.toString('base64') === text ? bytes : undefined;
}

/** minisign prints the eight bytes as one little-endian number. */
function idText(id: Uint8Array): string {
  return Buffer.from(id).reverse().toString('hex').toUpperCase();
}

function checkComment(comment: string, maxBytes: number): void {
  if (/[\r\n\0]/.test(comment) || Buffer.byteLength(comment) > maxBytes) {
    throw new OpenlineError('REQUEST_INVALID', `a comment is one line of at most ${maxBytes} bytes`);
  }
}

function blake2b(content: Uint8Array): Buffer {
  return createHash('blake2b512').update(content).digest();
}

/** RFC 8410: what comes before the 32 bytes in DER. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex');

function privateKeyOf(seed: Uint8Array) {
  return createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
}

function publicKeyOf(key: Uint8Array) {
  return createPublicKey({ key: Buffer.concat([SPKI_PREFIX, key]), format: 'der', type: 'spki' });
}

function publicHalf(seed: Uint8Array): Buffer {
  const spki = createPublicKey(privateKeyOf(seed)).export({ format: 'der', type: 'spki' });
  return spki.subarray(SPKI_PREFIX.length);
}
