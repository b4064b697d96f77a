import { OpenlineError } from '@openline/proto/errors';

/**
 * Runs a piece of database work; when the database does not answer or has no room, the error is STORE_UNAVAILABLE
 * (with the driver's error as `cause`) and everything else passes unchanged. After a failed commit nobody knows whether it
 * happened: work that must not happen twice carries its own key.
 */
export async function storeErrors<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (isStoreUnavailable(error)) {
      throw new OpenlineError('STORE_UNAVAILABLE', `the database does not serve this request (${reasonOf(error)})`, {
        cause: error,
      });
    }
    throw error;
  }
}

/** Classes of SQLSTATE: connection, resources (disk, memory, connections), operating system. */
const UNAVAILABLE_CLASSES = new Set(['08', '53', '58']);
/** admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout, and query_canceled (statement_timeout). */
const UNAVAILABLE_STATES = new Set(['57P01', '57P02', '57P03', '57P05', '57014', '25006']);
const UNAVAILABLE_SYSCALLS = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  // Of a socket: nobody has made it yet; more wait to be let in than may.
  'ENOENT',
  'EAGAIN',
]);
/** The driver has no codes for these. */
const UNAVAILABLE_MESSAGES =
  /connection terminated|timeout exceeded when trying to connect|not queryable|connection error|query read timeout|after calling end|client was closed/i;

export function isStoreUnavailable(error: unknown): boolean {
  if (error instanceof OpenlineError) return error.code === 'STORE_UNAVAILABLE';
  if (error instanceof AggregateError) return error.errors.some(isStoreUnavailable);
  if (!(error instanceof Error)) return false;
  const code = codeOf(error);
  if (code === undefined) return UNAVAILABLE_MESSAGES.test(error.message);
  return UNAVAILABLE_SYSCALLS.has(code) || UNAVAILABLE_STATES.has(code) || UNAVAILABLE_CLASSES.has(code.slice(0, 2));
}

/** deadlock_detected, and serialization_failure, which a database whose default isolation is a stricter one than ours answers. */
const PASSING_STATES = new Set(['40P01', '40001']);

/** Nothing was done, because somebody else did something at the same time: to be done again. */
export function isPassing(error: unknown): boolean {
  return error instanceof Error && PASSING_STATES.has(codeOf(error) ?? '');
}

/** Of the unique index or constraint, when the database refused a duplicate of it. */
export function violatedUnique(error: unknown): string | undefined {
  if (!(error instanceof Error) || codeOf(error) !== '23505' || !('constraint' in error)) return undefined;
  return typeof error.constraint === 'string' ? error.constraint : undefined;
}

function codeOf(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return reasonOf(error.errors[0]);
  if (!(error instanceof Error)) return 'unknown';
  return codeOf(error) ?? error.message;
}
