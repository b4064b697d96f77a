import { join } from 'node:path';

/**
 * What an agent may reach of the host it stands on. none: what its own process reaches, on a machine that is everything. read: in a container,
 * the host's files, mounted there for reading. full: tasks run in the host's namespaces, as its root.
 */
export const HOST_ACCESS = ['none', 'read', 'full'] as const;
export type HostAccess = (typeof HOST_ACCESS)[number];

/** What a task saw, as its result says it. */
export type ViewName = 'machine' | 'container' | 'host-read' | 'host';

/** What tasks, probes and event sources see, and where. */
export interface View {
  readonly access: HostAccess;
  readonly name: ViewName;
  /** What the agent's own process puts before the path of a file that tasks would see: "" where both see the same. */
  readonly root: string;
  /** For tasks and probes, besides what each of them has: see docs/packs.md. */
  readonly env: Readonly<Record<string, string>>;
}

/** As the host's init sees it. */
const HOST_INIT_ROOT = '/proc/1/root';
export const NSENTER = '/usr/bin/nsenter';

/** Pure. @param inContainer whether the agent's process is in one @param hostRoot where `read` finds the host's files */
export function viewOf(access: HostAccess, hostRoot: string, inContainer: boolean): View {
  switch (access) {
    case 'none':
      return view(access, inContainer ? 'container' : 'machine', '', '');
    case 'read':
      return view(access, 'host-read', hostRoot, hostRoot);
    case 'full':
      return view(access, 'host', HOST_INIT_ROOT, '');
    default:
      return access satisfies never;
  }
}

/** @param rootOfTasks what tasks put before a path to have the host's file */
function view(access: HostAccess, name: ViewName, root: string, rootOfTasks: string): View {
  const env = {
    OPENLINE_VIEW: name,
    OPENLINE_HOST_ROOT: rootOfTasks,
    OPENLINE_HOST_PROC: join('/', rootOfTasks, 'proc'),
  };
  return { access, name, root, env };
}

/**
 * The command line that runs this one where tasks run. Pure.
 *
 * nsenter becomes the program itself, in the same process, so that its process group is the task's, and signals, timeouts and the exit code are too. For
 * that it must not enter a PID namespace (it would have to fork), and need not: whoever sees the host's init as process 1 is in the host's.
 * @param workDir as the agent sees it; where the program starts
 */
export function placed({ access }: View, argv: readonly string[], workDir: string): readonly string[] {
  if (access !== 'full') return argv;
  return [NSENTER, '--target', '1', '--mount', '--uts', '--ipc', '--net', `--wd=${workDir}`, '--', ...argv];
}

/** A path of the agent's process below `root`, as tasks see it. */
export function seenByTasks({ access, root }: View, path: string): string {
  return access === 'full' && path.startsWith(`${root}/`) ? path.slice(root.length) : path;
}

/** A path of the agent's own container, as tasks see it; on Linux only, while the agent runs. */
export function ownSeenByTasks({ access }: View, path: string, agentPid: number): string {
  return access === 'full' ? `/proc/${agentPid}/root${path}` : path;
}
