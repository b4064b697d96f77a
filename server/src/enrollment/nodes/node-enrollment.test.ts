import 'reflect-metadata';
import { describe, expect, it } from 'vitest';
import { createAgentService } from '../../agents/agent-service.ts';
import { createAuditLog } from '../../audit/audit-log.ts';
import { systemClock } from '../../clock.ts';
import { withTestDatabase } from '../../db/testing.ts';
import { createMetrics } from '../../telemetry/metrics.ts';
import { createEnrollmentService } from '../enrollment-service.ts';
import { createNodeEnrollment } from './node-enrollment.ts';
import { agentIdOfNode } from './node-identity.ts';

const db = withTestDatabase();
const HOUR_MS = 3_600_000;

/** A cluster in which the token names the node: `name/uid` or `name/uid@cluster`. */
function setUp() {
  const audit = createAuditLog({ db: db.kysely });
  const labels = new Map<string, Record<string, string>>();
  const ended: string[] = [];
  const agents = createAgentService({
    db: db.kysely,
    audit,
    isConnected: () => false,
    onRevoked: async (id, reason) => void ended.push(`${id}: ${reason}`),
  });
  const revoke = (id: string, why: string) => agents.revoke({ name: 'kubernetes' }, id, why);
  const labelled: string[] = [];
  const ttls: (number | undefined)[] = [];
  const ca = {
    async issueForAgent(_csr: Uint8Array, id: string, ttlMs?: number) {
      ttls.push(ttlMs);
      return { certificatePem: `certificate of ${id}`, notAfter: new Date(Date.now() + (ttlMs ?? 0)) };
    },
  };
  const enrollNode = createNodeEnrollment(
    {
      db: db.kysely,
      ca,
      audit,
      clock: systemClock,
      attestor: {
        async attest(token) {
          const [, nodeName = '', nodeUid = '', cluster = 'local'] = /^([^/]+)\/([^@]+)(?:@(.+))?$/.exec(token) ?? [];
          return { cluster, nodeName, nodeUid, account: 'openline:agent', pod: 'p' };
        },
      },
      labelsOf: ({ nodeUid }) => labels.get(nodeUid),
      replaced: revoke,
      labelled: (id, { zone }) => void labelled.push(`${id} is in ${zone}`),
    },
    { ownCluster: 'local', certificateTtlMs: HOUR_MS },
  );
  const living = async () =>
    (
      await db.kysely
        .selectFrom('agents')
        .select(['name', 'node_uid', 'pinned_labels'])
        .where('revoked_at', 'is', null)
        .orderBy('name')
        .execute()
    ).map((row) => [row.name, row.node_uid, row.pinned_labels]);
  return { enrollNode, labels, ended, agents, living, audit, ttls, labelled, revoke };
}
const CSR = new Uint8Array();

describe('the agent of a node', () => {
  it('is made once, is called as its node, and is the same for every pod of it', async () => {
    const s = setUp();
    s.labels.set('u-1', { zone: 'a' });
    const first = await s.enrollNode('worker-1/u-1', CSR);
    const second = await s.enrollNode('worker-1/u-1', CSR);
    expect(second.agentId).toBe(first.agentId);
    expect(first).toMatchObject({ agentId: agentIdOfNode('local', 'u-1'), agentName: 'worker-1' });
    expect(s.ttls).toEqual([HOUR_MS, HOUR_MS]);
    const { agentId } = first;
    expect(s.labelled).toEqual([`${agentId} is in a`, `${agentId} is in a`]);
    expect(await s.living()).toEqual([['worker-1', 'u-1', { zone: 'a', 'openline.dev/cluster': 'local' }]]);
  });

  it('of another cluster has that in its name, so that names meet only within a cluster', async () => {
    const s = setUp();
    await s.enrollNode('worker-1/u-1', CSR);
    await s.enrollNode('worker-1/u-1@edge', CSR);
    expect((await s.living()).map(([name]) => name)).toEqual(['worker-1', 'worker-1.edge']);
  });

  it('is another one when the node was made anew, and ends the one before', async () => {
    const s = setUp();
    const before = await s.enrollNode('worker-1/u-1', CSR);
    await s.enrollNode('worker-1/u-2', CSR);
    expect((await s.living()).map(([, uid]) => uid)).toEqual(['u-2']);
    expect(s.ended).toEqual([`${before.agentId}: the node worker-1 was made anew`]);
    // A pod of the old node may still be there.
    await expect(s.enrollNode('worker-1/u-1', CSR)).rejects.toMatchObject({ code: 'AGENT_REVOKED' });
    expect((await s.living()).map(([, uid]) => uid)).toEqual(['u-2']);
  });

  it('does not take the name of a machine outside of the cluster', async () => {
    const s = setUp();
    await db.pool.query(`insert into agents (id, name, enrolled_with, labels, facts, pinned_labels)
      values ('m', 'worker-1', 'token', '{}', '{}', '{}')`);
    await expect(s.enrollNode('worker-1/u-1', CSR)).rejects.toMatchObject({ code: 'NAME_TAKEN' });
  });

  it('that an operator revoked stays out until it is deleted', async () => {
    const s = setUp();
    const { agentId } = await s.enrollNode('worker-1/u-1', CSR);
    await s.agents.revoke({ name: 'alice' }, agentId, 'stolen');
    await expect(s.enrollNode('worker-1/u-1', CSR)).rejects.toMatchObject({
      code: 'AGENT_REVOKED',
      message: expect.stringContaining('stolen'),
    });
    await s.agents.remove({ name: 'alice' }, agentId);
    expect((await s.enrollNode('worker-1/u-1', CSR)).agentId).toBe(agentId);
  });

  it('cannot renew its certificate, and proves its node anew', async () => {
    const s = setUp();
    const { agentId } = await s.enrollNode('worker-1/u-1', CSR);
    const ca = { ...certificateAuthorityThatIssuesNothing, caPem: '' };
    const service = createEnrollmentService({
      db: db.kysely,
      ca,
      audit: s.audit,
      clock: systemClock,
      metrics: createMetrics(),
      enrollNode: s.enrollNode,
    });
    await expect(service.renew(agentId, CSR)).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
    expect((await service.enrollNode('worker-1/u-1', CSR)).agentId).toBe(agentId);
  });
});

const certificateAuthorityThatIssuesNothing = {
  caHash: '',
  trustDomain: '',
  issueForAgent: () => Promise.reject(new Error('nothing is issued')),
  material: { certificatePem: '', keyPem: '', caPem: '', signersPem: [] },
};
