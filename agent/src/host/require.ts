import { existsSync, lstatSync, readlinkSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { which } from '../facts.ts';
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

/**
 * In the host's namespaces it is nsenter that would not find a program, and end with the 127 that a program can end with, too.
 * @param argv as `placed` made it
 * @param path PATH of the process
 * @throws OpenlineError SPAWN_FAILED the program is not on the host
 */
export function requireProgram({ access, root }: View, argv: readonly string[], path: string): void {
  if (access !== 'full') return;
  const program = argv[argv.indexOf('--') + 1] ?? '';
  // What begins with a dot is looked for where it starts, which is empty.
  const byPath = program.startsWith('/');
  const folders = byPath ? [dirname(program)] : path.split(delimiter);
  // Where an absolute link of another root leads cannot be seen from here: then nsenter decides.
  if (folders.some((folder) => leadsElsewhere(`${root}${folder}`))) return;
  const found = byPath ? statOf(`${root}${program}`) !== undefined : which(program, path, root) !== undefined;
  if (!found) throw new OpenlineError('SPAWN_FAILED', `${program} is not there on the host`);
}

function leadsElsewhere(folder: string): boolean {
  return statOf(folder)?.isSymbolicLink() === true && readlinkSync(folder).startsWith('/');
}

/** Of a link itself. */
function statOf(file: string) {
  return lstatSync(file, { throwIfNoEntry: false });
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
