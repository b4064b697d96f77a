import { describe, expect, it } from 'vitest';
import { allAlerts, enrol, raiseOf, testDesk } from '../alerts/testing.ts';
import { createAuditLog } from '../audit/audit-log.ts';
import { withTestDatabase } from '../db/testing.ts';
import { createAgentService } from './agent-service.ts';

const db = withTestDatabase();
const BY = { name: 'ada' };

/** With an open alert of the agents a and b. @param failures of what follows a revocation */
async function setUp(failures: Error[] = []) {
  const { desk } = testDesk(db.pool);
  for (const id of ['a', 'b']) {
    await enrol(db.pool, id);
    await desk.apply([raiseOf(id)]);
  }
  const agents = createAgentService({
    db: db.kysely,
    audit: createAuditLog({ db: db.kysely }),
    isConnected: () => false,
    async onRevoked(agentId, reason) {
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      await desk.closeOf(agentId, 'test', reason);
    },
  });
  const open = async () =>
    (await allAlerts(db.pool)).filter(({ state }) => state !== 'closed').map(({ subject }) => subject.agentId);
  return { agents, open };
}

describe('an agent that is gone', () => {
  it('has no open alerts', async () => {
    const { agents, open } = await setUp();
    await agents.revoke(BY, 'a', 'stolen');
    await agents.remove(BY, 'b');
    expect(await open()).toEqual([]);
  });

  it('has none either where the server, or its database, went away before they were closed', async () => {
    const { agents, open } = await setUp([new Error('away'), new Error('away')]);
    await expect(agents.revoke(BY, 'a', 'stolen')).rejects.toThrow('away');
    await expect(agents.remove(BY, 'b')).rejects.toThrow('away');
    expect(await open()).toEqual(['a', 'b']);
    await agents.endGone();
    expect(await open()).toEqual([]);
  });

  it('is the only one whose alerts are closed for it', async () => {
    const { agents, open } = await setUp();
    await agents.endGone();
    expect(await open()).toEqual(['a', 'b']);
  });
});
