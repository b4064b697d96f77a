import { Heartbeat } from '@openline/proto/agent';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Attributes } from '../agents/selector.ts';
import { allAlerts, testDesk } from '../alerts/testing.ts';
import { withTestDatabase } from '../db/testing.ts';
import type { AgentPolicy } from '../policy/policies.ts';
import type { Evidence } from './diagnosis.ts';
import { allGroups, lineGroupsOf } from './health-group.ts';
import { createLineService } from './line-service.ts';
import { createLineStore } from './line-store.ts';

const db = withTestDatabase();
const policy: AgentPolicy = {
  heartbeat: { intervalMs: 15_000, silenceMs: 45_000, stoppedAfterMs: 900_000, alert: true, severity: 'critical' },
  message: Buffer.alloc(0),
};
const GROUPS = allGroups([], ['rack']);
const about = (id: string, rack = 'r1'): Attributes => ({ id, name: id, labels: { rack }, facts: {} });
const node: Evidence = { tcp: 'refused', icmp: 'skipped', node: 'skipped', shared: false, notes: ['TCP: refused'] };
const fine = Heartbeat.create({ executorCheckedMsAgo: 100, rulesCheckedMsAgo: 100 });

async function enrol(...ids: string[]) {
  for (const id of ids) {
    const labels = { rack: id === 'x' ? 'r2' : 'r1' };
    await db.pool.query(
      `insert into agents (id, name, enrolled_with, labels, facts, connected_at, last_seen_at, remote_address)
       values ($1, $1, 'test', $2, '{"hostname": "h"}', now(), now(), '10.0.0.1:5000')`,
      [id, labels],
    );
  }
}

/** A server on the test's database, whose clock is the test's. */
async function server(startSeconds = 0, evidence: () => Evidence = () => node, settleMs = 5_000) {
  const time = { ms: startSeconds * 1_000 };
  const at = () => new Date(Date.UTC(2027, 0, 1) + time.ms);
  const maintained = new Set<string>();
  const raised: string[] = [];
  const looked: string[] = [];
  const database = { away: false };
  const store = createLineStore(db.pool, 'local');
  let targets: Promise<unknown> = Promise.resolve();
  const { desk } = testDesk(
    db.pool,
    async (ids) => new Map(ids.filter((id) => maintained.has(id)).map((id) => [id, 'm'])),
  );
  const service = await createLineService(
    {
      pool: db.pool,
      store: {
        ...store,
        targets(ids) {
          const found = store.targets(ids);
          targets = found.catch(() => {});
          return found;
        },
      },
      desk,
      prober: {
        async look({ remoteAddress }) {
          looked.push(remoteAddress);
          return evidence();
        },
      },
      policyOf: () => policy,
      groupsOf: (agent) => lineGroupsOf(GROUPS, agent, 20),
      inMaintenance: (id) => maintained.has(id),
      async ping() {
        if (database.away) throw new Error('away');
      },
      clock: { nowMs: () => time.ms, now: at, sleep: async () => {} },
      log: { error: () => {}, warn: () => {}, info: () => {} },
      alertRaised: (diagnosis) => void raised.push(diagnosis),
    },
    { settleMs, graceMs: 90_000 },
  );
  onTestFinished(() => service.stop());
  return {
    service,
    raised,
    looked,
    maintained,
    database,
    desk,
    lose: (id: string, code: 'ENDED_BY_AGENT' | 'GOODBYE' | 'AGENT_SILENT' = 'ENDED_BY_AGENT') =>
      service.closed(id, { code, why: 'why', heardMs: time.ms }),
    async pass(seconds: number) {
      for (let i = 0; i < seconds; i++) {
        time.ms += 1_000;
        await service.tick();
        // Where nodes are is read from the database; the probes answer at once, but not in the same turn.
        await targets;
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}

const open = async () =>
  (await allAlerts(db.pool))
    .filter(({ state }) => state !== 'closed')
    .map(({ title, severity, count }) => [title, severity, count]);

describe('the alert of a lost line', () => {
  it('says what was found out, and closes by itself when the line is back', async () => {
    await enrol('a', 'b');
    const s = await server();
    for (const id of ['a', 'b']) s.service.opened(about(id), policy);
    await s.pass(100);
    s.lose('a');
    await s.pass(70);
    expect(new Set(s.looked)).toEqual(new Set(['10.0.0.1:5000']));
    expect(await open()).toEqual([['a: the agent is down, its node is there', 'critical', 1]]);
    const [alert] = await allAlerts(db.pool);
    expect(alert).toMatchObject({ subject: { kind: 'line', agentId: 'a', watch: 'agent' }, labels: { rack: 'r1' } });
    expect(alert?.description).toContain('TCP: refused');
    expect(alert?.description).toContain('Last heard at 2027-01-01T00:01:40.000Z: its connection ended.');
    expect(s.raised).toEqual(['agent']);
    s.service.opened(about('a'), policy);
    await s.pass(1);
    expect(await open()).toEqual([]);
    expect((await db.pool.query('select * from agent_lines')).rows).toEqual([]);
    const { rows } = await db.pool.query('select kind, comment from alert_changes order by id');
    expect(rows).toEqual([
      { kind: 'raised', comment: '' },
      { kind: 'closed', comment: 'the line is back' },
    ]);
  });

  it('follows what is found out later, and is no repeat then', async () => {
    await enrol('a', 'b');
    let found: Evidence = { ...node, tcp: 'silent', notes: ['TCP: no answer'] };
    const s = await server(0, () => found);
    for (const id of ['a', 'b']) s.service.opened(about(id), policy);
    await s.pass(100);
    s.lose('a', 'AGENT_SILENT');
    await s.pass(70);
    expect(await open()).toEqual([['a: the node is down', 'critical', 1]]);
    found = node;
    await s.pass(120);
    expect(await open()).toEqual([['a: the agent is down, its node is there', 'critical', 1]]);
    expect(s.raised).toEqual(['node']);
  });

  it('that a person has closed is not opened again, whatever is found out', async () => {
    await enrol('a', 'b');
    let found: Evidence = { ...node, tcp: 'silent' };
    const s = await server(0, () => found);
    for (const id of ['a', 'b']) s.service.opened(about(id), policy);
    await s.pass(100);
    s.lose('a', 'AGENT_SILENT');
    await s.pass(70);
    await db.pool.query('update alerts set closed_at = now(), state = 2');
    found = node;
    await s.pass(100);
    expect(await db.pool.query('select 1 from alerts where closed_at is null')).toMatchObject({ rowCount: 0 });
  });

  it.each([
    ['an agent', ['a']],
    ['a group', ['a', 'b', 'c']],
  ])('of %s that a person has closed is not opened again by a server that is started again', async (_what, lost) => {
    await enrol('a', 'b', 'c', 'd');
    const s = await server();
    for (const id of ['a', 'b', 'c', 'd']) s.service.opened(about(id), policy);
    await s.pass(100);
    for (const id of lost) s.lose(id);
    await s.pass(70);
    expect(await open()).toHaveLength(1);
    await db.pool.query('update alerts set closed_at = now(), state = 2');
    const again = await server(200, () => ({ ...node, node: 'not-ready' }));
    for (const id of ['a', 'b', 'c', 'd']) if (!lost.includes(id)) again.service.opened(about(id), policy);
    again.service.changed(lost.map((id) => about(id)));
    await again.pass(100);
    expect(await open()).toEqual([]);
  });

  it('of an agent that is revoked closes', async () => {
    await enrol('a');
    const s = await server();
    s.service.opened(about('a'), policy);
    await s.pass(100);
    s.lose('a');
    await s.pass(70);
    s.service.gone('a');
    await s.pass(1);
    expect(await open()).toEqual([]);
  });

  it('that is raised in maintenance is suppressed; when that ends it is raised anew', async () => {
    await enrol('a');
    const s = await server();
    s.service.opened(about('a'), policy);
    await s.pass(100);
    s.maintained.add('a');
    s.service.maintenance({ entered: ['a'], left: [] });
    s.lose('a');
    await s.pass(70);
    expect((await allAlerts(db.pool)).map((a) => [a.maintenanceId, a.state])).toEqual([['m', 'new']]);
    s.maintained.delete('a');
    s.service.maintenance({ entered: [], left: ['a'] });
    await s.pass(25);
    expect((await allAlerts(db.pool)).map((a) => [a.maintenanceId, a.state])).toEqual([
      ['m', 'closed'],
      ['', 'new'],
    ]);
  });
});

describe('the alert of a line that is raised just as a maintenance begins', () => {
  it('is told of when that ends, as any other', async () => {
    await enrol('a');
    const s = await server();
    s.service.opened(about('a'), policy);
    await s.pass(100);
    s.lose('a');
    await s.pass(64);
    expect(await open()).toEqual([]);
    const passing = s.pass(1);
    s.maintained.add('a');
    s.service.maintenance({ entered: ['a'], left: [] });
    await passing;
    expect((await allAlerts(db.pool)).map((a) => [a.maintenanceId, a.state])).toEqual([['m', 'new']]);
    s.maintained.delete('a');
    s.service.maintenance({ entered: [], left: ['a'] });
    await s.pass(25);
    expect((await allAlerts(db.pool)).map((a) => [a.maintenanceId, a.state])).toEqual([
      ['m', 'closed'],
      ['', 'new'],
    ]);
  });
});

describe('whatever happens to agents and their maintenance, also while alerts are written', () => {
  const hasty = { ...policy, heartbeat: { ...policy.heartbeat, intervalMs: 300, silenceMs: 900 } };
  const ids = ['a', 'x'];
  const deed = fc.record({
    do: fc.constantFrom('lose', 'back', 'maintain', 'unmaintain', 'look'),
    id: fc.constantFrom(...ids),
    whileWritten: fc.boolean(),
  });

  it('in the end each lost line has one alert, which is suppressed only while its agent is in maintenance, and the others have none', async () => {
    await enrol(...ids);
    const s = await server(0, undefined, 100);
    const away = new Set<string>();
    const act = (what: string, id: string) => {
      if (what === 'lose') {
        away.add(id);
        s.lose(id);
      } else if (what === 'back') {
        away.delete(id);
        s.service.opened(about(id, id), hasty);
      } else if (what === 'maintain') {
        s.maintained.add(id);
        s.service.maintenance({ entered: [id], left: [] });
      } else if (what === 'unmaintain') {
        s.maintained.delete(id);
        s.service.maintenance({ entered: [], left: [id] });
      }
    };
    for (const id of ids) act('back', id);
    await s.pass(100);
    await fc.assert(
      fc.asyncProperty(fc.array(deed, { maxLength: 25 }), async (deeds) => {
        for (const { do: what, id, whileWritten } of deeds) {
          if (!whileWritten) act(what, id);
          const passing = s.pass(1);
          if (whileWritten) act(what, id);
          await passing;
        }
        await s.pass(5);
        const alerts = (await allAlerts(db.pool)).filter(({ state }) => state !== 'closed');
        expect(alerts.map(({ subject }) => subject.agentId).sort()).toEqual([...away].sort());
        for (const { subject, maintenanceId } of alerts)
          if (!s.maintained.has(subject.agentId)) expect(maintenanceId).toBe('');
      }),
      { numRuns: 40 },
    );
  });
});

describe('the alert of a lost group', () => {
  it('is one, counts those that come back, and closes with the last', async () => {
    const ids = ['a', 'b', 'c', 'd'];
    await enrol(...ids, 'other');
    const s = await server();
    for (const id of ids) s.service.opened(about(id), policy);
    s.service.opened(about('other', 'r2'), policy);
    await s.pass(100);
    for (const id of ids) s.lose(id);
    await s.pass(70);
    expect(await open()).toEqual([['rack=r1: 4 of 4 agents lost their lines together', 'critical', 1]]);
    expect(await allAlerts(db.pool)).toMatchObject([
      { subject: { agentId: '', watch: 'group', key: 'rack=r1' }, agentName: 'rack=r1', labels: { rack: 'r1' } },
    ]);
    s.service.opened(about('b'), policy);
    await s.pass(1);
    expect(await open()).toEqual([['rack=r1: 3 of 4 agents lost their lines together', 'critical', 1]]);
    expect((await allAlerts(db.pool))[0]?.description).toContain('Away: a, c, d.');
    for (const id of ids) s.service.opened(about(id), policy);
    await s.pass(1);
    expect(await open()).toEqual([]);
    expect(s.raised).toEqual(['agent']);
  });
});

describe('a server that is started again', () => {
  it('makes no alert for agents that come back, keeps those that were open, and closes them when their agents are back', async () => {
    const ids = ['a', 'b', 'c', 'd', 'x'];
    await enrol(...ids);
    const before = await server();
    for (const id of ids) before.service.opened(about(id, id === 'x' ? 'r2' : 'r1'), policy);
    await before.pass(100);
    for (const id of ['a', 'b', 'c']) before.lose(id);
    await before.pass(70);
    const known = await open();
    expect(known).toHaveLength(1);
    await before.service.stop();

    const after = await server(1_000);
    await after.pass(60);
    for (const id of ['d', 'x']) after.service.opened(about(id), policy);
    await after.pass(200);
    expect(await open()).toEqual(known);
    for (const id of ['a', 'b', 'c']) after.service.opened(about(id), policy);
    await after.pass(1);
    expect(await open()).toEqual([]);
    expect(await allAlerts(db.pool)).toHaveLength(1);
  });

  it('closes alerts of agents that were revoked meanwhile', async () => {
    await enrol('a');
    const before = await server();
    before.service.opened(about('a'), policy);
    await before.pass(100);
    before.lose('a');
    await before.pass(70);
    await before.service.stop();
    await db.pool.query('update agents set revoked_at = now()');
    const after = await server(1_000);
    await after.pass(1);
    expect(await open()).toEqual([]);
  });
});

describe('a database that is away', () => {
  it('makes no alert of agents that cannot come back meanwhile', async () => {
    await enrol('a', 'b');
    const s = await server();
    for (const id of ['a', 'b']) s.service.opened(about(id), policy);
    await s.pass(100);
    s.lose('a');
    s.database.away = true;
    await s.pass(300);
    s.database.away = false;
    await s.pass(80);
    s.service.opened(about('a'), policy);
    await s.pass(100);
    expect(await allAlerts(db.pool)).toEqual([]);
  });
});

describe('the node of an agent', () => {
  it('is asked about where the agent has its identity from a node of this cluster, and nowhere else', async () => {
    await enrol('a', 'b', 'c');
    await db.pool.query(`update agents set cluster = 'local', node_uid = 'u1' where id = 'a'`);
    await db.pool.query(`update agents set cluster = 'edge', node_uid = 'u2' where id = 'b'`);
    const targets = await createLineStore(db.pool, 'local').targets(['a', 'b', 'c']);
    expect(['a', 'b', 'c'].map((id) => targets.get(id)?.node)).toEqual(['a', undefined, undefined]);
  });

  it('shares its address where an agent of another host that is not revoked comes from it', async () => {
    await enrol('a', 'b', 'c', 'd', 'e', 'f');
    await db.pool.query(`update agents set facts = jsonb_build_object('hostname', id), remote_address = case
      when id in ('a', 'b') then '10.0.0.1:' || ascii(id) when id in ('c', 'd') then '[::1]:' || ascii(id) else '10.0.0.9:1' end`);
    await db.pool.query(`update agents set facts = '{"hostname":"same"}' where id in ('e', 'f')`);
    await db.pool.query(`update agents set revoked_at = now() where id = 'd'`);
    const targets = await createLineStore(db.pool, 'local').targets(['a', 'c', 'e']);
    expect(['a', 'c', 'e'].map((id) => targets.get(id)?.shared)).toEqual([true, false, false]);
  });

  it('is looked up for many lost lines by reading the agents a few times, not once for each', async () => {
    const agents = 1_000;
    await db.pool.query(
      `insert into agents (id, name, enrolled_with, remote_address) select i, i, 'test', '10.0.0.' || i || ':1' from generate_series(1, $1) i`,
      [agents],
    );
    await db.pool.query('analyze agents');
    // One after the other: all of it over the one connection, in one transaction.
    await db.pool.query('begin');
    await createLineStore(db.pool, 'local').targets(Array.from({ length: 32 }, (_, i) => String(i + 1)));
    const { rows } = await db.pool.query(`select pg_stat_get_xact_tuples_returned('agents'::regclass)::int as read`);
    expect(rows[0].read).toBeGreaterThan(agents - 1);
    expect(rows[0].read).toBeLessThan(3 * agents);
  });
});

describe('an agent whose parts do not work', () => {
  const hangs = Heartbeat.create({ executorCheckedMsAgo: 60_000, rulesCheckedMsAgo: 100 });
  it('has an alert of its own for each of them, though its line is there', async () => {
    await enrol('a');
    const s = await server();
    s.service.opened(about('a'), policy);
    s.service.heartbeat('a', hangs);
    await s.pass(1);
    expect(await open()).toEqual([]);
    s.service.heartbeat('a', hangs);
    await s.pass(1);
    expect(await open()).toEqual([['a: the agent runs no tasks', 'critical', 1]]);
    expect(s.service.problemsOf('a')).toMatchObject([{ part: 'executor' }]);
    s.service.heartbeat('a', Heartbeat.create({ ...hangs, executorCheckedMsAgo: 75_000 }));
    await s.pass(1);
    expect(await open()).toEqual([['a: the agent runs no tasks', 'critical', 1]]);
    s.service.heartbeat('a', fine);
    s.service.heartbeat('a', fine);
    await s.pass(1);
    expect(await open()).toEqual([]);
    expect(s.raised).toEqual(['executor']);
  });
  it('is known over a restart of the server', async () => {
    await enrol('a');
    const before = await server();
    before.service.opened(about('a'), policy);
    for (let i = 0; i < 2; i++) before.service.heartbeat('a', hangs);
    await before.pass(1);
    await before.service.stop();
    const after = await server(100);
    after.service.opened(about('a'), policy);
    for (let i = 0; i < 2; i++) after.service.heartbeat('a', fine);
    await after.pass(1);
    expect(await open()).toEqual([]);
    expect(await allAlerts(db.pool)).toHaveLength(1);
  });
});
