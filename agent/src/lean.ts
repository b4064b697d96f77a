import { replaceProcess } from '@openline/proto/replace-process';

/**
 * What lets an idle agent live in 60 MB; measured in docs/performance.md. An agent mostly waits for sockets and disks, so it starts without
 * compilers that optimise, which jit.ts turns on when events flow. Not with --jitless, which would take less still and could never be
 * undone: docs/adr/0011.
 */
const FLAGS = [
  '--no-opt',
  '--no-maglev',
  '--no-sparkplug',
  // What did not run for two collections is compiled again when it does.
  '--bytecode-old-age=2',
  '--optimize-for-size',
  '--max-semi-space-size=1',
  '--v8-pool-size=1',
  '--no-node-snapshot',
  // For tidy.ts.
  '--expose-gc',
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
