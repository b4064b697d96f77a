import { readFileSync } from 'node:fs';
import { OpenlineError } from '@openline/proto/errors';

/** What an agent shows once to be given an identity. */
export type Credential =
  | { readonly kind: 'join'; readonly token: string }
  /** The file is replaced by the kubelet while we run. */
  | { readonly kind: 'node'; readonly tokenFile: string };

export interface CredentialConfig {
  readonly joinToken: string | undefined;
  readonly joinTokenFile: string | undefined;
  readonly kubernetesTokenFile: string | undefined;
}

/** @throws OpenlineError CONFIG_INVALID a file that is named cannot be read */
export function credentialOf(config: CredentialConfig): Credential | undefined {
  const { joinToken, joinTokenFile, kubernetesTokenFile } = config;
  if (kubernetesTokenFile !== undefined) return { kind: 'node', tokenFile: kubernetesTokenFile };
  const token = joinToken ?? (joinTokenFile === undefined ? undefined : readToken('joinTokenFile', joinTokenFile));
  return token ? { kind: 'join', token } : undefined;
}

/** As it is sent. @throws OpenlineError CONFIG_INVALID */
export function shown(credential: Credential) {
  return credential.kind === 'join'
    ? { $case: 'joinToken' as const, value: credential.token }
    : { $case: 'kubernetesToken' as const, value: readToken('kubernetesTokenFile', credential.tokenFile) };
}

function readToken(key: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable';
    throw new OpenlineError('CONFIG_INVALID', `${key}: cannot be read (${reason})`, { cause });
  }
}
