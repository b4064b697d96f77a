import { OpenlineError } from '@openline/proto/errors';

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

export function generateKeyPair(_comment: string): KeyPairText {
  throw new OpenlineError('INTERNAL', 'not written yet');
}
/** The file, or only its base64 line. @throws OpenlineError CONFIG_INVALID */
export function parsePublicKey(_text: string): PublicKey {
  throw new OpenlineError('INTERNAL', 'not written yet');
}
/** @throws OpenlineError CONFIG_INVALID */
export function parseSecretKey(_text: string): SecretKey {
  throw new OpenlineError('INTERNAL', 'not written yet');
}
/** @returns the text of the .minisig file. The trusted comment is signed too; one line. */
export function signPack(_content: Uint8Array, _secretKey: SecretKey, _trustedComment: string): string {
  throw new OpenlineError('INTERNAL', 'not written yet');
}
/** @throws OpenlineError PACK_SIGNATURE_INVALID, PACK_KEY_UNTRUSTED */
export function verifyPack(
  _content: Uint8Array,
  _signatureText: string,
  _trustedKeys: readonly PublicKey[],
): { keyId: string; trustedComment: string } {
  throw new OpenlineError('INTERNAL', 'not written yet');
}
