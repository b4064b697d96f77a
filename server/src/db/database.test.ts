import { expect, it, onTestFinished } from 'vitest';
import { createMetrics } from '../telemetry/metrics.ts';
import { openDatabase } from './database.ts';
import { silentLog, withTestDatabase } from './testing.ts';

const db = withTestDatabase();

it('a database that only reads, as a standby does, is told of as one that does not answer', async () => {
  const { host = '', port, user, password, database } = db.pool.options;
  const databaseUrl = `postgres://${user}:${password}@localhost:${port}/${database}?host=${encodeURIComponent(host)}`;
  const opened = await openDatabase({ dataDir: '', databaseUrl }, { log: silentLog, metrics: createMetrics() });
  onTestFinished(() => opened.close());
  await opened.ping();
  // Of the one connection that there is.
  await opened.pool.query('set default_transaction_read_only = on');
  await expect(opened.ping()).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  await opened.pool.query('set default_transaction_read_only = off');
  await opened.ping();
});
