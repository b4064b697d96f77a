import { chmodSync, chownSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { makeDirectory } from '@openline/proto/make-directory';
import { unusable } from '../../files.ts';
import type { EventsConfig } from '../config.ts';

/**
 * Makes the directory of the agent's log, for the agent's user alone or for a group, too. The mode of its files follows from it.
 * @throws OpenlineError CONFIG_INVALID, DATA_DIR_UNUSABLE
 */
export function prepareEventsDirectory({ directory, group }: Pick<EventsConfig, 'directory' | 'group'>): void {
  const gid = group === undefined ? undefined : gidOf(group);
  try {
    makeDirectory(directory, 0o700);
    // Windows' own permissions are inherited. What belongs to somebody else is as they want it.
    if (process.platform === 'win32' || statSync(directory).uid !== process.getuid?.()) return;
    if (gid === undefined) chmodSync(directory, 0o700);
    else {
      chownSync(directory, process.getuid(), gid);
      // The sticky group: whoever begins a file, it belongs to the group.
      chmodSync(directory, 0o2770);
    }
  } catch (cause) {
    throw unusable(directory, cause);
  }
  if (gid !== undefined) checkReachable(directory, gid, group ?? '');
}

/** As the system's own files have it; groups of a directory service are named by their number. */
function gidOf(group: string): number {
  if (/^\d+$/.test(group)) return Number(group);
  const lines = readFileSync('/etc/group', 'utf8').split('\n');
  const gid = lines.map((line) => line.split(':')).find(([name]) => name === group)?.[2];
  if (gid !== undefined) return Number(gid);
  throw new OpenlineError(
    'CONFIG_INVALID',
    `events.group: /etc/group has no group ${group}; one from elsewhere is named by its number`,
  );
}

function checkReachable(directory: string, gid: number, group: string): void {
  for (let above = dirname(directory); above !== dirname(above); above = dirname(above)) {
    const { mode, gid: owner } = statSync(above);
    if ((mode & 0o001) !== 0 || (owner === gid && (mode & 0o010) !== 0)) continue;
    throw new OpenlineError(
      'CONFIG_INVALID',
      `events.group: the group ${group} cannot reach ${directory}, as ${above} is closed to it; set events.directory to a place of its own, such as /var/lib/openline/events`,
    );
  }
}
