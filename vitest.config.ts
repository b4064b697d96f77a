import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['{proto,packs,server,agent,cli,scripts,test/{harness,bench,demo,kind}}/**/*.test.ts'],
          globalSetup: ['server/src/db/testing-cluster.ts', 'test/harness/whole-run.ts'],
          setupFiles: ['test/harness/each-file.ts'],
          // A bound, not a measure: other files run at the same time.
          testTimeout: 60_000,
          // Vitest's own default leaves one processor idle: on two, that is half of them.
          maxWorkers: Math.max(2, availableParallelism()),
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/{e2e,chaos}/**/*.test.ts'],
          globalSetup: ['test/harness/global-setup.ts', 'test/harness/whole-run.ts'],
          setupFiles: ['test/harness/each-file.ts'],
          testTimeout: 60_000,
          // They start the servers and agents of a file, all at once: on a busy machine that is what takes longest.
          hookTimeout: 180_000,
          // They start servers, agents and databases, and wait for them much of the time: two files fill two processors.
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
          retry: 0,
        },
      },
    ],
  },
});
