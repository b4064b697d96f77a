import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { systemClock } from '../clock.ts';
import { createLogger } from '../telemetry/logger.ts';
import { type Embedded, startEmbedded } from './embedded/embedded.ts';
import { migrate } from './migrate.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** Asked by HTTP, it answers with the address of the database to be copied. */
    testCluster: string;
  }
}

/** What a crash of the machine would lose is not what these tests are about, and a copy of a database waits for two checkpoints. */
const SETTINGS = {
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  checkpoint_timeout: '1h',
  max_wal_size: '1GB',
  autovacuum: 'off',
  shared_buffers: '64MB',
  // Each test file has a pool; as many files run at a time as there are processors.
  max_connections: '1000',
};

/** One PostgreSQL for all test files of a run, started for the first that asks. Started and ended by vitest. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = mkdtempSync(join(fastestDirectory(), 'openline-test-'));
  chmodSync(directory, 0o711);
  let cluster: Promise<Embedded> | undefined;

  async function start(): Promise<Embedded> {
    const log = createLogger('error', { write: () => {} });
    const postgres = await startEmbedded(
      directory,
      { clock: systemClock, log, onLost: () => {}, onBack: () => {} },
      SETTINGS,
    );
    const template = new pg.Pool(postgres.address());
    await migrate(template);
    // A database that is copied must have no connections.
    await template.end();
    return postgres;
  }

  const broker = createServer((_request, response) => {
    cluster ??= start();
    cluster.then(
      (postgres) => response.end(JSON.stringify(postgres.address())),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  broker.listen(0, '127.0.0.1');
  await once(broker, 'listening');
  const { port } = broker.address() as AddressInfo;
  project.provide('testCluster', `http://127.0.0.1:${port}`);

  return async () => {
    broker.close();
    broker.closeAllConnections();
    await (await cluster?.catch(() => undefined))?.close();
    rmSync(directory, { recursive: true, force: true });
  };
}

const MEMORY = '/dev/shm';
const WANTED_BYTES = 4 * 1024 ** 3;

/** Memory, where there is enough: a database is some hundred small files, which a disk that others use takes half a second to copy. */
function fastestDirectory(): string {
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    return bavail * bsize >= WANTED_BYTES ? MEMORY : tmpdir();
  } catch {
    return tmpdir(); // there is none
  }
}
