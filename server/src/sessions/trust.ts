import type { TrustReport as TrustReportMessage } from '@openline/proto/agent';
import type { TrustReport } from '../enrollment/authority/trust-desk.ts';

/** The agent takes Trust, and says in its Hello and TrustReport what it holds. */
export const TRUST_CAPABILITY = 'trust';

const MOST_AUTHORITIES = 32;

export function trustReportOf(message: TrustReportMessage | undefined): TrustReport {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
  return {
    authorities: (message?.authorities ?? []).slice(0, MOST_AUTHORITIES).map(hex),
    issuer: hex(message?.issuer ?? new Uint8Array()),
  };
}
