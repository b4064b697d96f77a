/**
 * What lets an idle agent live in 60 MB. Measured (docs/performance.md): 94 MB without them, 59 MB with them, both with two packs held. An agent waits for
 * sockets and disks, so it loses nothing that it needs; and without a JIT a process that may run as root has no memory that is
 * writable and executable.
 */
const FLAGS = [
  '--jitless',
  '--optimize-for-size',
  '--max-semi-space-size=1',
  '--v8-pool-size=1',
  '--no-node-snapshot',
] as const;
/** glibc keeps freed memory, and that of each thread apart, unless it is told to give it back. mallopt(3) */
const ENVIRONMENT = {
  MALLOC_ARENA_MAX: '1',
  MALLOC_TRIM_THRESHOLD_: '65536',
  MALLOC_MMAP_THRESHOLD_: '32768',
  MALLOC_TOP_PAD_: '16384',
};

/**
 * Replaces this process (the same pid, files and arguments) by one with these flags, unless it has them, so that nobody who starts an
 * agent has to know them. Does nothing where that cannot be done: run from source (types are stripped by WebAssembly, which is a JIT's),
 * under a debugger, on Windows.
 */
function becomeLean(): void {
  const { execve, execArgv, argv, env, execPath, platform } = process;
  const script = argv[1] ?? '';
  const has = FLAGS.every((flag) => execArgv.includes(flag));
  if (has || platform === 'win32' || script.endsWith('.ts') || execArgv.some((arg) => arg.startsWith('--inspect')))
    return;
  // Experimental in Node 24: where it is gone, or refused, the agent is only larger.
  if (typeof execve !== 'function') return;
  const rest = execArgv.filter((arg) => !FLAGS.some((flag) => flag === arg));
  execve.call(process, execPath, [execPath, ...FLAGS, ...rest, ...argv.slice(1)], { ...env, ...ENVIRONMENT });
}

// At import, and imported first: before the rest of the bundle is run for nothing.
becomeLean();
