import { OpenlineError } from '@openline/proto/errors';
import * as z from 'zod';

/** A time that Date has. */
export const UnixMs = z.int().min(-8.64e15).max(8.64e15);

/** Where a page of a list ended: what its last entry is sorted by. Opaque to callers. */
export function pageTokenOf(sortedBy: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(sortedBy)).toString('base64url');
}

/** @returns undefined: the first page. @throws OpenlineError REQUEST_INVALID */
export function readPageToken<Shape extends z.ZodType>(token: string, shape: Shape): z.output<Shape> | undefined {
  if (token === '') return undefined;
  const { success, data } = shape.safeParse(decoded(token));
  if (!success) throw new OpenlineError('REQUEST_INVALID', 'page_token: not one that was given in an answer');
  return data;
}

function decoded(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}
