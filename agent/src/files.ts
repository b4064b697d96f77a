import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { makeDirectory } from '@openline/proto/make-directory';

/**
 * Replaces a file so that after a crash there is the old content or the new, never a part of either.
 * @param mode default 0600
 * @throws OpenlineError DATA_DIR_UNUSABLE
 */
export async function writeFileAtomically(path: string, content: string | Uint8Array, mode = 0o600): Promise<void> {
  const temporary = join(dirname(path), `.tmp-${randomBytes(6).toString('hex')}`);
  try {
    const file = await open(temporary, 'wx', mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw unusable(path, cause);
  }
}

/** A rename is durable only once its directory is. Windows cannot open directories, and does not need it. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** For nobody but us. @throws OpenlineError DATA_DIR_UNUSABLE */
export async function makePrivateDirectory(path: string): Promise<void> {
  try {
    makeDirectory(path, 0o700);
  } catch (cause) {
    throw unusable(path, cause);
  }
}

export function unusable(path: string, cause: unknown): OpenlineError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new OpenlineError('DATA_DIR_UNUSABLE', `${path}: ${reason}`, { cause });
}
