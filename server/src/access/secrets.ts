import { createHash, randomBytes } from 'node:crypto';

/** olo_: for operators. olj_: lets one agent join. The prefix says to people, and to scanners for leaked secrets, what it is. */
const PREFIX = { operator: 'olo_', join: 'olj_' } as const;
export type TokenKind = keyof typeof PREFIX;

const FORM = { operator: /^olo_[A-Za-z0-9_-]{43}$/, join: /^olj_[A-Za-z0-9_-]{43}$/ } as const;

/** 256 random bits. */
export function newSecret(kind: TokenKind): string {
  return `${PREFIX[kind]}${randomBytes(32).toString('base64url')}`;
}

/** Keeps what cannot be a token away from the database. */
export function looksLike(kind: TokenKind, secret: string): boolean {
  return FORM[kind].test(secret);
}

/** What is stored. A plain hash suffices: nobody guesses 256 bits, and the lookup by it leaks nothing useful through its timing. */
export function hashOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}
