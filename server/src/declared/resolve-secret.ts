import { readFileSync, realpathSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import { SECRET_VARIABLE, type SecretRef } from './secrets.ts';

/** Finds the secret that a reference names. @throws SecretError with a sentence that never holds the secret */
export type ResolveSecret = (ref: SecretRef) => string;

export class SecretError extends Error {
  override readonly name = 'SecretError';
}

const MAX_SECRET_BYTES = 64 * 1024;

/**
 * Looks each time anew, so that a secret that was changed holds for the next connection.
 * @param directory the only one that files may be in; links out of it do not help (Kubernetes' own, within it, do)
 */
export function createSecretResolver(
  directory: string,
  env: Readonly<Record<string, string | undefined>>,
): ResolveSecret {
  return (ref) => {
    if (ref.from === 'env') {
      const value = SECRET_VARIABLE.test(ref.name) ? env[ref.name] : undefined;
      if (value) return value;
      throw new SecretError(`the server has no environment variable ${ref.name}`);
    }
    return readSecretFile(directory, ref.path);
  };
}

function readSecretFile(directory: string, path: string): string {
  let text: string;
  try {
    const root = realpathSync(directory);
    const file = realpathSync(resolve(root, path));
    if (!file.startsWith(root + sep)) throw new SecretError('it is outside of the directory of secrets (secretsDir)');
    const bytes = readFileSync(file);
    if (bytes.length > MAX_SECRET_BYTES) throw new SecretError(`it is larger than ${MAX_SECRET_BYTES} bytes`);
    text = bytes.toString('utf8').replace(/\r?\n$/, '');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
    const why = error instanceof SecretError ? error.message : (code ?? 'unreadable');
    throw new SecretError(`the secret file ${path} cannot be used: ${why}`, { cause: error });
  }
  if (text === '') throw new SecretError(`the secret file ${path} is empty`);
  return text;
}
