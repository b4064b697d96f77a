import { randomUUID } from 'node:crypto';
import { Metadata, status } from '@grpc/grpc-js';
import { ERROR_CODE_METADATA, type ErrorCode, OpenlineError } from '@openline/proto/errors';
import { isStoreUnavailable } from '../db/store-errors.ts';
import type { Logger } from '../telemetry/logger.ts';

const { FAILED_PRECONDITION, INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED, UNAVAILABLE } = status;
const { ABORTED, ALREADY_EXISTS, DEADLINE_EXCEEDED, INTERNAL, PERMISSION_DENIED, UNAUTHENTICATED, CANCELLED } = status;

/** The gRPC status of each code. Most never reach the operator API; a new code without a status fails to compile. */
const STATUS = {
  TASK_EXIT_CODE: ABORTED,
  TASK_SIGNALLED: ABORTED,
  TASK_TIMED_OUT: DEADLINE_EXCEEDED,
  TASK_CANCELLED: CANCELLED,
  TTL_EXPIRED: DEADLINE_EXCEEDED,
  AGENT_OFFLINE: FAILED_PRECONDITION,
  AGENT_UNREACHABLE: ABORTED,
  AGENT_RESTARTED: ABORTED,
  AGENT_STOPPED: ABORTED,
  RESULT_FORGOTTEN: ABORTED,
  JOURNAL_REPLACED: ABORTED,
  AGENT_REVOKED: FAILED_PRECONDITION,
  QUEUE_FULL: RESOURCE_EXHAUSTED,
  PACK_NOT_HELD: FAILED_PRECONDITION,
  TASK_UNKNOWN: NOT_FOUND,
  TASK_DENIED: PERMISSION_DENIED,
  REQUIREMENTS_NOT_MET: FAILED_PRECONDITION,
  AGENT_OUTDATED: FAILED_PRECONDITION,
  AGENT_IN_MAINTENANCE: FAILED_PRECONDITION,
  PARAMETERS_INVALID: INVALID_ARGUMENT,
  ARGUMENT_TOO_LONG: INVALID_ARGUMENT,
  SPAWN_FAILED: ABORTED,
  JOURNAL_FAILED: ABORTED,
  EVENT_LOG_FAILED: ABORTED,
  PROTOCOL_UNSUPPORTED: FAILED_PRECONDITION,
  PROTOCOL_VIOLATION: INVALID_ARGUMENT,
  MESSAGE_TOO_LARGE: RESOURCE_EXHAUSTED,
  CERTIFICATE_MISSING: UNAUTHENTICATED,
  CERTIFICATE_EXPIRED: UNAUTHENTICATED,
  IDENTITY_UNKNOWN: UNAUTHENTICATED,
  IDENTITY_IN_USE: FAILED_PRECONDITION,
  SESSION_SUPERSEDED: ABORTED,
  AGENT_TOO_SLOW: RESOURCE_EXHAUSTED,
  AGENT_SILENT: UNAVAILABLE,
  SERVER_BUSY: RESOURCE_EXHAUSTED,
  SERVER_STOPPING: UNAVAILABLE,
  SERVER_UNREACHABLE: UNAVAILABLE,
  SERVER_UNTRUSTED: UNAVAILABLE,
  JOIN_TOKEN_INVALID: UNAUTHENTICATED,
  NODE_NOT_ATTESTED: UNAUTHENTICATED,
  CLUSTER_UNREACHABLE: UNAVAILABLE,
  NAME_TAKEN: ALREADY_EXISTS,
  UNAUTHENTICATED,
  PERMISSION_DENIED,
  REQUEST_INVALID: INVALID_ARGUMENT,
  TARGETS_INVALID: INVALID_ARGUMENT,
  NO_TARGETS: FAILED_PRECONDITION,
  RUN_UNKNOWN: NOT_FOUND,
  AGENT_UNKNOWN: NOT_FOUND,
  AGENT_CONNECTED: FAILED_PRECONDITION,
  ALERT_UNKNOWN: NOT_FOUND,
  PACK_UNKNOWN: NOT_FOUND,
  TOKEN_UNKNOWN: NOT_FOUND,
  IDEMPOTENCY_CONFLICT: ALREADY_EXISTS,
  PACK_INVALID: INVALID_ARGUMENT,
  PACK_READER_FAILED: UNAVAILABLE,
  PACK_SIGNATURE_INVALID: INVALID_ARGUMENT,
  PACK_KEY_UNTRUSTED: PERMISSION_DENIED,
  PACK_DOWNGRADE: FAILED_PRECONDITION,
  PACK_CONTENT_CHANGED: FAILED_PRECONDITION,
  PACK_IN_USE: FAILED_PRECONDITION,
  DECLARED_INVALID: INVALID_ARGUMENT,
  DECLARED_UNKNOWN: NOT_FOUND,
  DECLARED_IN_USE: FAILED_PRECONDITION,
  WATCH_UNKNOWN: NOT_FOUND,
  MAINTENANCE_UNKNOWN: NOT_FOUND,
  NOTIFICATION_UNKNOWN: NOT_FOUND,
  NOTIFICATION_NOT_DEAD: FAILED_PRECONDITION,
  STORE_UNAVAILABLE: UNAVAILABLE,
  INTERNAL,
  CONFIG_INVALID: INTERNAL,
  DATA_DIR_IN_USE: INTERNAL,
  DATA_DIR_UNUSABLE: INTERNAL,
  PORT_IN_USE: INTERNAL,
  STATE_UNAVAILABLE: status.UNAVAILABLE,
  DATABASE_FAILED: INTERNAL,
} as const satisfies Record<ErrorCode, status>;

export interface Refusal {
  readonly code: status;
  readonly details: string;
  readonly metadata: Metadata;
}

/** The status travels in HTTP/2 trailers, which have no room for more: percent-encoding can make three bytes of each of UTF-8. */
const MAX_DETAILS_BYTES = 8 * 1024;

/**
 * What the caller is told of an error: `[CODE] message`, the code also as metadata.
 * An error that nobody foresaw is logged in full under a request id, and the caller gets only that id.
 */
export function toRefusal(error: unknown, method: string, log: Pick<Logger, 'error'>): Refusal {
  if (error instanceof OpenlineError && error.code !== 'INTERNAL') {
    if (error.code === 'STORE_UNAVAILABLE') log.error({ err: error, method }, 'the database refused a request');
    return refusal(error.code, error.message);
  }
  if (isStoreUnavailable(error)) {
    const message = 'the database does not answer, or has no room';
    log.error(
      { err: new OpenlineError('STORE_UNAVAILABLE', message, { cause: error }), method },
      'the database refused a request',
    );
    return refusal('STORE_UNAVAILABLE', message);
  }
  const requestId = randomUUID();
  log.error({ err: error, method, requestId }, 'a request failed in a way that nobody foresaw');
  return refusal(
    'INTERNAL',
    `the request failed inside the server; its log has the reason under request id ${requestId}`,
  );
}

function refusal(code: ErrorCode, message: string): Refusal {
  const metadata = new Metadata();
  metadata.set(ERROR_CODE_METADATA, code);
  return { code: STATUS[code], details: shortened(`[${code}] ${message}`), metadata };
}

function shortened(text: string): string {
  // A lone surrogate cannot be encoded, and grpc-js would throw while it ends the call.
  const whole = text.toWellFormed();
  const bytes = Buffer.from(whole);
  if (bytes.length <= MAX_DETAILS_BYTES) return whole;
  return `${bytes.subarray(0, MAX_DETAILS_BYTES).toString('utf8').replace(/�$/, '')} …`;
}
