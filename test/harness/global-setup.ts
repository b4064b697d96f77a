import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openDatabase } from '../../server/src/db/database.ts';
import { createLogger } from '../../server/src/telemetry/logger.ts';
import { createMetrics } from '../../server/src/telemetry/metrics.ts';
import { ROOT, TEMPLATE_VARIABLE } from './paths.ts';

/** What the tests start, made once for all test files: the bundles (nothing happens when they are current), and an empty database. */
export default async function setup(): Promise<() => void> {
  const directory = mkdtempSync(join(tmpdir(), 'openline-database-'));
  // As root, the embedded PostgreSQL runs as another user, who must be able to come through.
  chmodSync(directory, 0o711);
  const dataDir = join(directory, 'server');
  await Promise.all([
    makeDatabase(dataDir),
    promisify(execFile)(process.execPath, ['scripts/build.mjs'], { cwd: ROOT }),
  ]);
  process.env[TEMPLATE_VARIABLE] = join(dataDir, 'postgres');
  return () => rmSync(directory, { recursive: true, force: true });
}

async function makeDatabase(dataDir: string): Promise<void> {
  const log = createLogger('error', { write: () => {} });
  const database = await openDatabase({ dataDir, databaseUrl: undefined }, { log, metrics: createMetrics() });
  await database.close();
}
