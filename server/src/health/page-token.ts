import { OpenlineError } from '@openline/proto/errors';

/** Where a page ended: opaque to callers. Text of any kind, a few short ones. */
export function pageTokenOf(parts: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

/** @returns undefined: the first page. @throws OpenlineError REQUEST_INVALID */
export function readPageToken(token: string, length: number): (string | number)[] | undefined {
  if (token === '') return undefined;
  try {
    const parts: unknown = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
    if (
      Array.isArray(parts) &&
      parts.length === length &&
      parts.every((part) => ['string', 'number'].includes(typeof part))
    )
      return parts;
  } catch {
    // Said below.
  }
  throw new OpenlineError('REQUEST_INVALID', 'page_token: not one that was given in an answer');
}
