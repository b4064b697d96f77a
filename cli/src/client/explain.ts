import { type Metadata, status } from '@grpc/grpc-js';
import { ERROR_CODE_METADATA, type ErrorCode, isErrorCode, OpenlineError } from '@openline/proto/errors';
import type { Connection } from '../config/locate.ts';
import { CliError } from '../failure.ts';

export interface Refusal {
  readonly code: number;
  readonly details: string;
  readonly metadata?: Pick<Metadata, 'get'>;
}

/** The connection was refused, broke or timed out. */
class ConnectionLost extends CliError {
  /** In few words, for whoever knows which connection. */
  readonly why: string;
  constructor(why: string, message: string, doNext: string, options: ErrorOptions) {
    super('SERVER_UNREACHABLE', message, doNext, options);
    this.why = why;
  }
}

/** Of what passes: what there is to say besides that the connection was lost. */
export function whyLost(error: Error): string {
  return error instanceof ConnectionLost ? error.why : error.message;
}

const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['SERVER_STOPPING', 'SERVER_BUSY', 'STORE_UNAVAILABLE']);

/** The same request may succeed a moment later: the server restarts, or its database does. */
export function isPassing(error: unknown): error is OpenlineError {
  return error instanceof ConnectionLost || (error instanceof OpenlineError && PASSING.has(error.code));
}

/** gRPC's error as one of ours: the server's own code when it named one, else what the status means here. */
export function explain(error: unknown, connection: Connection, waitedMs: number): OpenlineError {
  if (error instanceof OpenlineError) return error;
  if (!isRefusal(error)) return new CliError('INTERNAL', String(error), 'Report it.', { cause: error });
  const named = error.metadata?.get(ERROR_CODE_METADATA)[0];
  const server = connection.address.text;
  if (typeof named === 'string' && isErrorCode(named)) {
    if (named === 'UNAUTHENTICATED') return unauthenticated(error, connection);
    return new OpenlineError(named, messageOf(error), { cause: error });
  }
  switch (error.code) {
    case status.UNAVAILABLE:
      return unavailable(error, connection);
    case status.DEADLINE_EXCEEDED:
      return new ConnectionLost(
        'no answer',
        `the server at ${server} did not answer within ${Math.round(waitedMs / 1000)} s (address from ${connection.addressFrom})`,
        'Check the address, the network and the server’s log.',
        { cause: error },
      );
    case status.CANCELLED: // a draining server, or a proxy in between; we never see our own
      return new ConnectionLost('the server ended the call', `the server at ${server} ended the call`, 'Try again.', {
        cause: error,
      });
    case status.UNAUTHENTICATED:
      return unauthenticated(error, connection);
    case status.UNIMPLEMENTED:
      return new CliError(
        'PROTOCOL_UNSUPPORTED',
        `the server at ${server} does not know this request`,
        'Name the operator port, by default 5724, if this is the one for agents; else upgrade the older of server and CLI: `openline version`.',
        { cause: error },
      );
    case status.RESOURCE_EXHAUSTED:
      if (/message larger than max/i.test(error.details))
        return new OpenlineError('MESSAGE_TOO_LARGE', error.details, { cause: error });
      return new OpenlineError('SERVER_BUSY', error.details, { cause: error });
    default:
      return new OpenlineError(BY_STATUS.get(error.code) ?? 'INTERNAL', error.details || `status ${error.code}`, {
        cause: error,
      });
  }
}

const BY_STATUS: ReadonlyMap<number, ErrorCode> = new Map<number, ErrorCode>([
  [status.PERMISSION_DENIED, 'PERMISSION_DENIED'],
  [status.INVALID_ARGUMENT, 'REQUEST_INVALID'],
  [status.FAILED_PRECONDITION, 'REQUEST_INVALID'],
  [status.NOT_FOUND, 'REQUEST_INVALID'],
  [status.ALREADY_EXISTS, 'REQUEST_INVALID'],
]);

/** The server says "[CODE] message", for clients that show only the details. */
function messageOf(error: Refusal): string {
  return error.details.replace(/^\[[A-Z_]+\] /, '');
}

function isRefusal(error: unknown): error is Refusal {
  return (
    typeof error === 'object' &&
    error !== null &&
    'code' in error &&
    typeof error.code === 'number' &&
    'details' in error
  );
}

function unauthenticated(error: Refusal, connection: Connection): CliError {
  const which = connection.tokenFrom === undefined ? 'no token was sent' : `the token was from ${connection.tokenFrom}`;
  const next =
    connection.tokenFrom === undefined
      ? 'Give one: --token, OPENLINE_TOKEN, or a context that has one (`openline context set`).'
      : 'Give a valid one; an admin makes it: `openline tokens create NAME --role operator`.';
  return new CliError('UNAUTHENTICATED', `${connection.address.text}: ${messageOf(error)} (${which})`, next, {
    cause: error,
  });
}

/** Node's words for a certificate that is trusted, of a server of another name. */
const OTHER_NAME =
  /Hostname\/IP does not match certificate's altnames: (?:(?:Host|IP): \S+ is not in the cert's (?:altnames|list): )?(.*?)(?:\. Resolution note:.*)?$/s;
const UNTRUSTED = /certificate|altnames|self-signed|unable to verify|ERR_TLS|issuer/i;

function unavailable(error: Refusal, connection: Connection): OpenlineError {
  const server = connection.address.text;
  const from = `address from ${connection.addressFrom}`;
  const otherName = OTHER_NAME.exec(error.details);
  if (otherName !== null) {
    return new CliError(
      'SERVER_UNTRUSTED',
      `the certificate of ${server} is made for other names: ${otherName[1]} (${from})`,
      'Reach it by one of them, or start the server with this one in --advertise. Do not go on if you cannot explain it.',
      { cause: error },
    );
  }
  if (UNTRUSTED.test(error.details)) {
    const ca =
      connection.caFrom === undefined
        ? 'no CA was given, so public ones are expected'
        : `the CA is from ${connection.caFrom}`;
    return new CliError(
      'SERVER_UNTRUSTED',
      `the certificate of ${server} is not trusted: ${lastError(error.details)} (${ca})`,
      'Give the server’s CA with --ca or OPENLINE_CA; its data directory has it. Do not go on if you cannot explain it.',
      { cause: error },
    );
  }
  if (/wrong version number|packet length too long|EPROTO/i.test(error.details)) {
    return new CliError(
      'SERVER_UNREACHABLE',
      `what listens at ${server} does not speak TLS (${from})`,
      'Name the operator port, by default 5724.',
      { cause: error },
    );
  }
  const why = reasonOf(error.details);
  return new ConnectionLost(
    why,
    `no server answers at ${server}: ${why} (${from})`,
    'Start one with `openline server`, or name another: --server, OPENLINE_SERVER, `openline context use`.',
    { cause: error },
  );
}

function lastError(details: string): string {
  return /Last error: (?:Error: )?(.*?)(?:\. Resolution note:.*)?$/s.exec(details)?.[1] ?? details;
}

function reasonOf(details: string): string {
  if (details.includes('ECONNREFUSED')) return 'connection refused';
  if (/ENOTFOUND|EAI_AGAIN|Name resolution failed/.test(details)) return 'the name cannot be resolved';
  if (details.includes('EHOSTUNREACH') || details.includes('ENETUNREACH')) return 'no route to it';
  if (details.includes('ECONNRESET') || details.includes('Connection dropped')) return 'the connection broke';
  if (details.includes('ETIMEDOUT')) return 'the connection timed out';
  return lastError(details);
}
