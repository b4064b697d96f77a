import { createSecureContext } from 'node:tls';
import { experimental, type ServerCredentials } from '@grpc/grpc-js';

export interface TlsIdentity {
  /** Leaf first. */
  readonly certificatePem: string;
  readonly keyPem: string;
}

export interface ReloadableTls {
  readonly credentials: ServerCredentials;
  /** For connections from now on. @throws when the pair does not fit; the last good one stays. */
  update(identity: TlsIdentity): void;
}

/** TLS whose certificate can be exchanged while connections stay open; clients show none. */
export function reloadableTls(initial: TlsIdentity): ReloadableTls {
  const listeners = new Set<experimental.IdentityCertificateUpdateListener>();
  let current = checked(initial);
  const provider: experimental.CertificateProvider = {
    addCaCertificateListener: () => {},
    removeCaCertificateListener: () => {},
    addIdentityCertificateListener(listener) {
      listeners.add(listener);
      // Not at once: grpc-js asks before it has registered the socket that is to hear of it.
      queueMicrotask(() => listener(current));
    },
    removeIdentityCertificateListener: (listener) => listeners.delete(listener),
  };
  return {
    // The identity comes first, whatever the name of the first parameter in the library's types says.
    credentials: experimental.createCertificateProviderServerCredentials(provider, null, false),
    update(identity) {
      current = checked(identity);
      for (const listener of listeners) listener(current);
    },
  };
}

/** grpc-js would answer a bad pair by refusing every new connection. */
function checked({ certificatePem, keyPem }: TlsIdentity): experimental.IdentityCertificateUpdate {
  createSecureContext({ cert: certificatePem, key: keyPem });
  return { certificate: Buffer.from(certificatePem), privateKey: Buffer.from(keyPem) };
}
