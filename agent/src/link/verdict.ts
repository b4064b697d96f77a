import { DisconnectCode } from '@openline/proto/agent';
import type { ErrorCode } from '@openline/proto/errors';

/** What to make of the end of a stream. */
export interface Verdict {
  readonly code: ErrorCode;
  /** `backoff`: as always. `blocked`: nothing changes until a person acts. `contested`: another process holds the identity. */
  readonly pace: 'backoff' | 'blocked' | 'contested';
  /** Our identity is not accepted: an unused join token would help. */
  readonly enrollAgain: boolean;
}

export const UNREACHABLE: Verdict = { code: 'SERVER_UNREACHABLE', pace: 'backoff', enrollAgain: false };
/** It may have got another authority while we were away: a token is shown only to a server that proves to be of the authority named with it. */
export const UNTRUSTED: Verdict = { code: 'SERVER_UNTRUSTED', pace: 'backoff', enrollAgain: true };
export const UNKNOWN: Verdict = { code: 'IDENTITY_UNKNOWN', pace: 'blocked', enrollAgain: true };

const VERDICTS: Partial<Record<DisconnectCode, Verdict>> = {
  [DisconnectCode.DISCONNECT_CODE_REVOKED]: { code: 'AGENT_REVOKED', pace: 'blocked', enrollAgain: true },
  [DisconnectCode.DISCONNECT_CODE_CERTIFICATE_EXPIRED]: {
    code: 'CERTIFICATE_EXPIRED',
    pace: 'blocked',
    enrollAgain: true,
  },
  [DisconnectCode.DISCONNECT_CODE_PROTOCOL_UNSUPPORTED]: {
    code: 'PROTOCOL_UNSUPPORTED',
    pace: 'blocked',
    enrollAgain: false,
  },
  [DisconnectCode.DISCONNECT_CODE_IDENTITY_IN_USE]: { code: 'IDENTITY_IN_USE', pace: 'contested', enrollAgain: false },
  // What concerns our own older streams is ignored by number, so another live process took this session.
  [DisconnectCode.DISCONNECT_CODE_SUPERSEDED]: { code: 'SESSION_SUPERSEDED', pace: 'contested', enrollAgain: false },
  [DisconnectCode.DISCONNECT_CODE_PROTOCOL_VIOLATION]: {
    code: 'PROTOCOL_VIOLATION',
    pace: 'contested',
    enrollAgain: false,
  },
  [DisconnectCode.DISCONNECT_CODE_TOO_SLOW]: { code: 'AGENT_TOO_SLOW', pace: 'backoff', enrollAgain: false },
  [DisconnectCode.DISCONNECT_CODE_SILENT]: { code: 'AGENT_SILENT', pace: 'backoff', enrollAgain: false },
  [DisconnectCode.DISCONNECT_CODE_SERVER_BUSY]: { code: 'SERVER_BUSY', pace: 'backoff', enrollAgain: false },
};

/** A code of a newer server reads as a broken connection. */
export function verdictOn(code: DisconnectCode): Verdict {
  return VERDICTS[code] ?? UNREACHABLE;
}
