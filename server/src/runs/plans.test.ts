import { expect, it } from 'vitest';
import { newId } from '../db/ids.ts';
import { withTestDatabase } from '../db/testing.ts';

const db = withTestDatabase();

it('what concerns one run is read by its key, also when all that PostgreSQL has seen is one run on everybody', async () => {
  await db.pool.query(
    `insert into dispatches (run_id, agent_id, agent_name, state, queued_at)
     select $1, 'agent-' || i, 'agent-' || i, 10, now() from generate_series(1, 5000) i`,
    [newId()],
  );
  const client = await db.pool.connect();
  try {
    await client.query('analyze dispatches');
    // As of a statement that is prepared, and used often.
    await client.query('set plan_cache_mode = force_generic_plan');
    await client.query(
      'prepare counted(text) as select state, count(*) from dispatches where run_id = $1 group by state',
    );
    const { rows } = await client.query(`explain execute counted('${newId()}')`);
    expect(JSON.stringify(rows)).toContain('dispatches_pkey');
  } finally {
    client.release(true);
  }
});
