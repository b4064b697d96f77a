import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

/** Apart from the other tests, since it takes a Prometheus: `npm run test:metrics`. */
export default defineConfig({
  test: {
    root: join(import.meta.dirname, '..', '..'),
    include: ['test/metrics/**/*.test.ts'],
    globalSetup: ['test/harness/global-setup.ts'],
    // A bound, not a measure: on a machine that does much else, promtool alone has taken a minute.
    testTimeout: 180_000,
    hookTimeout: 420_000,
    fileParallelism: false,
  },
});
