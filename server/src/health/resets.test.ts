import { ServerMessage } from '@openline/proto/agent';
import { describe, expect, it, onTestFinished } from 'vitest';
import { enrol } from '../alerts/testing.ts';
import { createAuditLog } from '../audit/audit-log.ts';
import { newId } from '../db/ids.ts';
import { withTestDatabase } from '../db/testing.ts';
import { monitorStateNumber } from '../events/event.ts';
import { createResets } from './resets.ts';

const db = withTestDatabase();
const ada = { id: '1', name: 'ada', role: 'operator' } as const;
const T0 = new Date('2027-01-01T00:00:00Z');

function server() {
  const time = { ms: 0 };
  const connected = new Set(['a']);
  const said: string[] = [];
  const audit = createAuditLog({ db: db.kysely });
  const resets = createResets({
    pool: db.pool,
    lines: {
      isConnected: (id) => connected.has(id),
      sendControl(ids, message) {
        const { kind } = ServerMessage.decode(message);
        if (kind?.$case !== 'resetMonitor') throw new Error('not a reset');
        const { packName, monitorName, instance } = kind.value;
        said.push(`${ids}: ${packName}/${monitorName} ${instance}`.trimEnd());
      },
    },
    audit,
    clock: { nowMs: () => time.ms, now: () => new Date(T0.getTime() + time.ms), sleep: async () => {} },
    newId,
    log: { error: () => {} },
  });
  onTestFinished(() => resets.stop());
  const outcomes = async () =>
    (await db.pool.query('select outcome from monitor_resets order by id')).rows.map(({ outcome }) => outcome);
  return {
    resets,
    connected,
    said,
    audit,
    outcomes,
    async pass(seconds: number) {
      time.ms += seconds * 1_000;
      await resets.tick();
    },
  };
}

async function monitor(instance: string, state: 'healthy' | 'critical', since = T0) {
  await db.pool.query(
    `insert into monitor_states (agent_id, pack, monitor, instance, state, since) values ('a', 'linux', 'raid', $1, $2, $3)
     on conflict (agent_id, pack, monitor, instance) do update set state = excluded.state, since = excluded.since`,
    [instance, monitorStateNumber(state), since],
  );
}
const reset = (instance = '') => ({ agentId: 'a', agentName: 'a', pack: 'linux', monitor: 'raid', instance });

describe('a reset of a monitor', () => {
  it('goes down the line at once, and is done when the monitor is not as it was', async () => {
    await enrol(db.pool, 'a');
    await monitor('sda', 'critical');
    const s = server();
    expect(await s.resets.request(ada, reset())).toMatchObject({ requested: true, waiting: false });
    expect(s.said).toEqual(['a: linux/raid']);
    expect(await s.audit.list(1, undefined)).toMatchObject([
      { principal: 'ada', action: 'monitor.reset', object: 'linux/raid', details: { agent: 'a' } },
    ]);
    await monitor('sda', 'healthy', new Date('2027-01-01T00:00:01Z'));
    await s.pass(5);
    expect(await s.outcomes()).toEqual(['done']);
  });

  it('waits for an agent that is away', async () => {
    await enrol(db.pool, 'a');
    await monitor('sda', 'critical');
    const s = server();
    s.connected.clear();
    expect(await s.resets.request(ada, reset('sda'))).toMatchObject({ requested: true, waiting: true });
    await s.pass(3_600);
    expect(s.said).toEqual([]);
    s.connected.add('a');
    await s.pass(5);
    expect(s.said).toEqual(['a: linux/raid sda']);
  });

  it('is said again when the line may have broken, and never once the monitor is ill anew: that is another illness', async () => {
    await enrol(db.pool, 'a');
    await monitor('sda', 'critical');
    const s = server();
    await s.resets.request(ada, reset());
    await s.pass(9);
    expect(s.said).toHaveLength(1);
    await s.pass(2);
    expect(s.said).toHaveLength(2);
    await monitor('sda', 'critical', new Date('2027-01-01T00:01:00Z'));
    await s.pass(61);
    expect(s.said).toHaveLength(2);
    expect(await s.outcomes()).toEqual(['done']);
  });

  it('is over after a day', async () => {
    await enrol(db.pool, 'a');
    await monitor('sda', 'critical');
    const s = server();
    s.connected.clear();
    await s.resets.request(ada, reset());
    await s.pass(24 * 3_600);
    s.connected.add('a');
    await s.pass(5);
    expect([s.said, await s.outcomes()]).toEqual([[], ['expired']]);
  });

  it('of what is not ill is none; a second one replaces the first', async () => {
    await enrol(db.pool, 'a');
    await monitor('sda', 'healthy');
    const s = server();
    expect(await s.resets.request(ada, reset())).toMatchObject({ requested: false });
    await monitor('sdb', 'critical');
    expect(await s.resets.request(ada, reset('sda'))).toMatchObject({ requested: false });
    await s.resets.request(ada, reset());
    await s.resets.request(ada, reset());
    expect(await s.outcomes()).toEqual(['replaced', '']);
  });
});
