import { existsSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';

/** nss_wrapper of Debian, which answers in place of /etc/passwd. */
const LIBRARIES = [
  '/usr/lib/x86_64-linux-gnu/libnss_wrapper.so',
  '/usr/lib/aarch64-linux-gnu/libnss_wrapper.so',
  '/usr/lib64/libnss_wrapper.so',
];

/**
 * PostgreSQL wants its user to have a name. Some platforms run a container with a user id that no file knows: then it gets one, where
 * nss_wrapper is installed.
 * @param directory for the files that say it
 * @returns what the programs need in their environment
 */
export function nameUser(directory: string): Record<string, string> {
  if (process.getuid === undefined || process.getgid === undefined || hasName()) return {};
  const library = LIBRARIES.find((file) => existsSync(file));
  if (library === undefined) return {};
  const [passwd, group] = [join(directory, 'passwd'), join(directory, 'group')];
  writeFileSync(passwd, `openline:x:${process.getuid()}:${process.getgid()}::/:/bin/sh\n`, { mode: 0o600 });
  writeFileSync(group, `openline:x:${process.getgid()}:\n`, { mode: 0o600 });
  return { LD_PRELOAD: library, NSS_WRAPPER_PASSWD: passwd, NSS_WRAPPER_GROUP: group };
}

function hasName(): boolean {
  try {
    userInfo();
    return true;
  } catch {
    return false;
  }
}
