import { createHash, X509Certificate } from 'node:crypto';
import type { Trust, TrustReport } from '@openline/proto/agent';
import type { Log } from '../telemetry/log.ts';
import type { Identity } from './identity.ts';
import type { IdentityKeeper } from './identity-keeper.ts';

/** The agent takes Trust, and says what it holds. */
export const TRUST_CAPABILITY = 'trust';

/** What this identity would know a server by, and who signed its certificate. */
export function trustReportOf({ certificatePem, caPem }: Identity): TrustReport {
  const [own, ...above] = certificatesIn(certificatePem);
  const roots = certificatesIn(caPem);
  const issuer = [...above, ...roots].find((one) => own?.checkIssued(one) === true && own.verify(one.publicKey));
  const authorities = new Map(roots.map((root) => [root.fingerprint256, spkiHash(root)]));
  return { authorities: [...authorities.values()], issuer: issuer ? spkiHash(issuer) : Buffer.alloc(0) };
}

/** SHA-256 of the SubjectPublicKeyInfo. */
export function spkiHash(certificate: X509Certificate): Buffer {
  return createHash('sha256')
    .update(certificate.publicKey.export({ type: 'spki', format: 'der' }))
    .digest();
}

function certificatesIn(pem: string): X509Certificate[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return found.map((one) => new X509Certificate(one));
}

export interface TrustDeps {
  readonly keeper: Pick<IdentityKeeper, 'stored' | 'keep'>;
  readonly log: Log;
  report(report: TrustReport): void;
  renewSoon(withinMs: number): void;
}

/** Takes the authorities that the server names, says so, and sees to a certificate of the one that signs now. */
export function createTrust({ keeper, log, report, renewSoon }: TrustDeps) {
  async function take({ caPem, issuer, renewWithinMs }: Trust): Promise<void> {
    if (certificatesIn(caPem).length === 0) throw new Error('it names no authority');
    if (caPem !== keeper.stored().caPem) {
      await keeper.keep({ caPem });
      log.info({}, 'the server named other authorities to trust');
    }
    const held = trustReportOf(keeper.stored());
    report(held);
    if (!Buffer.from(issuer).equals(held.issuer)) renewSoon(renewWithinMs);
  }
  return {
    report: () => trustReportOf(keeper.stored()),
    follow(trust: Trust): void {
      take(trust).catch((error: unknown) => log.error({ error }, 'the authorities to trust could not be taken'));
    },
  };
}
