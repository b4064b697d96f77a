import { beforeEach, expect, it } from 'vitest';
import { withTestDatabase } from '../db/testing.ts';
import { createSessionStore, type HelloRecord, type SessionStore } from './session-store.ts';

const db = withTestDatabase();
const at = new Date('2026-01-01T00:00:00Z');
const digest = Buffer.alloc(32, 1);
let store: SessionStore;

beforeEach(async () => {
  store = createSessionStore(db.pool, async () => {});
  await db.pool.query(`insert into agents (id, name, enrolled_with) values ('a', 'a', 'test'), ('b', 'b', 'test')`);
  await db.pool.query(
    `insert into packs (digest, name, version, content, signature, key_id, pushed_by, wanted) values ($1, 'p', '1.0.0', '', '', '', '', true)`,
    [digest],
  );
});

const hello = (agentId: string, over: Partial<HelloRecord> = {}): HelloRecord => ({
  agentId,
  instanceId: 'instance-1',
  journalId: 'journal',
  version: '1.0.0',
  labels: {},
  facts: {},
  remoteAddress: '',
  certificateExpiresAt: at,
  heldDigests: [],
  ...over,
});

it('an agent that names a pack twice in its Hello holds it once, and holds up nobody', async () => {
  const opened = await store.open([hello('a', { heldDigests: [digest, digest] }), hello('b')], at);
  expect([...opened.values()].map(({ kind }) => kind)).toEqual(['opened', 'opened']);
  const { rows } = await db.pool.query('select agent_id from agent_packs');
  expect(rows).toEqual([{ agent_id: 'a' }]);
});
