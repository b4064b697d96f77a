import { replaceProcess } from '@openline/proto/replace-process';

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

// At import, and imported first: before the rest of the bundle is run for nothing.
replaceProcess(FLAGS, ENVIRONMENT);
