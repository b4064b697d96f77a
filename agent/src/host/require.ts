import { existsSync, readlinkSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { makePrivateDirectory } from '../files.ts';
import { NSENTER, type View } from './view.ts';

/** @throws OpenlineError CONFIG_INVALID the agent may not reach of the host what its configuration says */
export function requireHost({ access, root }: View): void {
  if (access === 'none') return;
  const lacks = access === 'read' ? lackForReading(root) : lackForEntering();
  if (lacks !== undefined) throw new OpenlineError('CONFIG_INVALID', `hostAccess: ${access}: ${lacks}`);
}

function lackForReading(root: string): string | undefined {
  if (existsSync(join(root, 'proc', 'meminfo'))) return undefined;
  return `there is no ${root}/proc/meminfo: mount the host’s / there for reading, or set hostRoot to where it is`;
}

function lackForEntering(): string | undefined {
  if (process.platform !== 'linux') return 'is for Linux only';
  if (!existsSync(NSENTER)) return `there is no ${NSENTER} (package util-linux)`;
  if (process.pid === 1) return 'the agent does not see the host’s processes: its pod needs hostPID: true';
  try {
    readlinkSync('/proc/1/ns/mnt');
    return undefined;
  } catch {
    return 'the agent may not enter the namespaces of process 1: it has to be root, in a privileged container';
  }
}

/** Where the processes of tasks and probes are at home, and work. */
export interface Places {
  readonly home: string;
  /** As the agent sees it. */
  readonly work: string;
}

/**
 * In the host's mount namespace nothing of the agent's own container has a path that a program could start in, so there they work below the host's /run.
 * @throws OpenlineError DATA_DIR_UNUSABLE
 */
export async function placesOf({ access, root }: View, dataDir: string, agentId: string): Promise<Places> {
  if (access !== 'full') return { home: homedir(), work: dataDir };
  const work = join(root, 'run', 'openline', agentId);
  await makePrivateDirectory(work);
  return { home: '/root', work };
}
