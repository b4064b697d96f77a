import { ERRORS, OpenlineError } from '@openline/proto/errors';
import { isStoreUnavailable } from './db/store-errors.ts';

/** What a server that could not start says on standard error, and its exit code. */
export interface StartFailure {
  readonly text: string;
  readonly exitCode: 1 | 2;
}

/** @returns undefined when nobody foresaw the error: then the log has it in full. Pure. */
export function startFailure(error: unknown): StartFailure | undefined {
  if (isStoreUnavailable(error)) {
    // The advice for STORE_UNAVAILABLE is for one who made a request.
    const why = error instanceof OpenlineError ? (error.cause ?? error) : error;
    const reason = why instanceof Error ? why.message : 'unknown';
    return tell(new OpenlineError('DATABASE_FAILED', `the database went away while the server started: ${reason}`));
  }
  return error instanceof OpenlineError ? tell(error) : undefined;
}

function tell({ code, message }: OpenlineError): StartFailure {
  return {
    text: `error [${code}] ${message}\n→ ${ERRORS[code].doNext}\n`,
    exitCode: code === 'CONFIG_INVALID' ? 2 : 1,
  };
}
