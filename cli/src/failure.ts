import { ERRORS, type ErrorCode, isErrorCode, OpenlineError } from '@openline/proto/errors';
import { createColors } from 'picocolors';
import { inFlags } from './args/fields.ts';
import type { Screen } from './io.ts';
import { printable } from './render/text.ts';

/** Exit codes; docs/cli.md is the reference. */
export const EXIT = { ok: 0, notAll: 1, badRequest: 2, interrupted: 130, terminated: 143, brokenPipe: 141 } as const;

/** An error with advice that fits better than the registry's. */
export class CliError extends OpenlineError {
  readonly doNext: string;
  constructor(code: ErrorCode, message: string, doNext: string, options?: ErrorOptions) {
    super(code, message, options);
    this.doNext = doNext;
  }
}

/** Where nothing better is to be advised; whoever knows the command names it. */
export const SEE_HELP = 'See `openline --help`, or `--help` after the command.';

export function usageError(message: string, doNext = SEE_HELP): CliError {
  return new CliError('REQUEST_INVALID', message, doNext);
}

/** What the server refused, in the words of the command line. @param flags of the command */
export function withFlags(error: unknown, flags: readonly string[]): unknown {
  if (!(error instanceof OpenlineError) || error instanceof CliError || error.code !== 'REQUEST_INVALID') return error;
  return new OpenlineError(error.code, inFlags(error.message, flags), { cause: error });
}

/** Refusals that come again until the request, the credentials or the configuration are changed. */
const BAD_REQUEST: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'REQUEST_INVALID',
  'TARGETS_INVALID',
  'NO_TARGETS',
  'RUN_UNKNOWN',
  'AGENT_UNKNOWN',
  'AGENT_CONNECTED',
  'TASK_UNKNOWN',
  'PARAMETERS_INVALID',
  'IDEMPOTENCY_CONFLICT',
  'ALERT_UNKNOWN',
  'WATCH_UNKNOWN',
  'MAINTENANCE_UNKNOWN',
  'PACK_UNKNOWN',
  'PACK_INVALID',
  'PACK_SIGNATURE_INVALID',
  'PACK_KEY_UNTRUSTED',
  'PACK_DOWNGRADE',
  'PACK_CONTENT_CHANGED',
  'PACK_IN_USE',
  'TOKEN_UNKNOWN',
  'DECLARED_INVALID',
  'DECLARED_UNKNOWN',
  'DECLARED_IN_USE',
  'NOTIFICATION_UNKNOWN',
  'NOTIFICATION_NOT_DEAD',
  'NAME_TAKEN',
  'UNAUTHENTICATED',
  'PERMISSION_DENIED',
  'MESSAGE_TOO_LARGE',
  'CONFIG_INVALID',
]);

export function exitCodeOf(error: unknown): number {
  if (error instanceof OpenlineError) return BAD_REQUEST.has(error.code) ? EXIT.badRequest : EXIT.notAll;
  return EXIT.notAll;
}

/** Two lines for a person: what happened, what to do. */
export function renderFailure(error: unknown, screen: Pick<Screen, 'color'>, verbose = false): string[] {
  const paint = createColors(screen.color);
  const code = error instanceof OpenlineError && isErrorCode(error.code) ? error.code : 'INTERNAL';
  const message = error instanceof Error ? error.message : String(error);
  const next = error instanceof CliError ? error.doNext : ERRORS[code].doNext;
  // A message may have several lines (a pack's position); what comes from elsewhere cannot steer the terminal.
  const [first = '', ...more] = message.split('\n').map(printable);
  const lines = [`${paint.red(`error [${code}]`)} ${first}`, ...more.map((line) => `  ${line}`), `→ ${next}`];
  if (verbose || (code === 'INTERNAL' && !(error instanceof OpenlineError))) {
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
      lines.push(cause.stack ?? String(cause));
  }
  return lines;
}

/** As `fileProblem`, of a file that is to be made. */
export function writeProblem(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code === 'EEXIST') return 'it is there already';
  return code === 'ENOENT' ? 'there is no such folder' : fileProblem(error);
}

/** Why a file cannot be read or written, in words and without its path, which the caller names. */
export function fileProblem(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  switch (code) {
    case 'ENOENT':
      return 'there is no such file';
    case 'EACCES':
    case 'EPERM':
      return 'permission denied';
    case 'EISDIR':
      return 'it is a folder';
    case 'ENOTDIR':
      return 'a part of the path is no folder';
    default:
      return error instanceof Error ? error.message : String(error);
  }
}
