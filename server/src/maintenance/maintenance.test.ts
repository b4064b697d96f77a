import { describe, expect, it, onTestFinished } from 'vitest';
import type { Principal } from '../access/access.ts';
import { createAgentService } from '../agents/agent-service.ts';
import type { AlertChange } from '../alerts/alert.ts';
import { enrol, raiseOf, testDesk } from '../alerts/testing.ts';
import { createAuditLog } from '../audit/audit-log.ts';
import { newId } from '../db/ids.ts';
import { withTestDatabase } from '../db/testing.ts';
import type { DeclaredObject } from '../declared/declared.ts';
import { specOf } from '../policy/testing.ts';
import type { MaintenanceChange, MaintenanceService } from './maintenance.ts';
import { createMaintenanceService } from './maintenance-service.ts';
import { createMaintenanceStore, recordSuppressed } from './maintenance-store.ts';
import { type MaintenanceWindowSpec, maintenanceWindowKind } from './window.ts';

const db = withTestDatabase();
const ada: Principal = { id: '1', name: 'ada', role: 'operator' };
const MINUTE_MS = 60_000;

/** A server whose clock is the test's. */
async function server(windows: DeclaredObject<MaintenanceWindowSpec>[] = [], at = new Date('2027-01-05T20:00:00Z')) {
  const time = { now: at };
  const changes: MaintenanceChange[] = [];
  const told: AlertChange[] = [];
  const declared = { list: windows, changed: () => {} };
  let service: MaintenanceService;
  const { desk } = testDesk(db.pool, async (ids) => service.of(ids));
  desk.onChanges(recordSuppressed);
  desk.onChanges(async (_tx, made) => void told.push(...made));
  const audit = createAuditLog({ db: db.kysely });
  const agents = createAgentService({ db: db.kysely, audit, isConnected: () => true, onRevoked: async () => {} });
  service = await createMaintenanceService(
    {
      pool: db.pool,
      store: createMaintenanceStore(db.pool),
      agents,
      windows: {
        list: () => declared.list,
        get: (name) => declared.list.find((each) => each.name === name),
        onChange(listener) {
          declared.changed = listener;
        },
      },
      desk,
      audit,
      clock: { now: () => time.now, nowMs: () => time.now.getTime(), sleep: async () => {} },
      newId,
      log: { info: () => {}, error: () => {} },
    },
    { historyMs: 7 * 24 * 60 * MINUTE_MS },
  );
  service.onChange((change) => changes.push(change));
  onTestFinished(() => service.stop());
  return {
    service,
    desk,
    changes,
    told,
    declared,
    audit,
    inMaintenance: () => [...service.of(['a', 'b', 'c']).keys()],
    async pass(minutes: number) {
      time.now = new Date(time.now.getTime() + minutes * MINUTE_MS);
      await service.tick();
    },
  };
}

async function threeAgents() {
  await enrol(db.pool, 'a', { role: 'web' });
  await enrol(db.pool, 'b', { role: 'web' });
  await enrol(db.pool, 'c', { role: 'db' });
}

const start = (over: object = {}) => ({
  on: 'role=web',
  forMs: 60 * MINUTE_MS,
  reason: 'patches',
  startsAt: undefined,
  ...over,
});

describe('maintenance', () => {
  it('begins at once for those that it selects, ends by itself, and says who began it and why', async () => {
    await threeAgents();
    const s = await server();
    const view = await s.service.start(ada, start());
    expect(view).toMatchObject({
      phase: 'active',
      agents: 2,
      maintenance: { on: 'role=web', reason: 'patches', startedBy: 'ada', window: '' },
    });
    expect(s.inMaintenance()).toEqual(['a', 'b']);
    await s.pass(59);
    expect(s.inMaintenance()).toEqual(['a', 'b']);
    await s.pass(1);
    expect(s.inMaintenance()).toEqual([]);
    expect(s.changes).toEqual([
      { entered: ['a', 'b'], left: [] },
      { entered: [], left: ['a', 'b'] },
    ]);
    expect(await s.service.get(view.maintenance.id)).toMatchObject({ phase: 'ended', maintenance: { endedBy: '' } });
    expect(await s.audit.list(1, undefined)).toMatchObject([
      { principal: 'ada', action: 'maintenance.start', details: { on: 'role=web', reason: 'patches', agents: 2 } },
    ]);
  });

  it('may begin later', async () => {
    await threeAgents();
    const s = await server();
    const { phase } = await s.service.start(ada, start({ startsAt: new Date('2027-01-05T22:00:00Z') }));
    expect(phase).toBe('scheduled');
    await s.pass(119);
    expect(s.inMaintenance()).toEqual([]);
    await s.pass(1);
    expect(s.inMaintenance()).toEqual(['a', 'b']);
    await s.pass(60);
    expect(s.inMaintenance()).toEqual([]);
  });

  it('can be extended, and ended before its time', async () => {
    await threeAgents();
    const s = await server();
    const { maintenance } = await s.service.start(ada, start());
    await s.service.extend(ada, maintenance.id, 30 * MINUTE_MS);
    await s.pass(61);
    expect(s.inMaintenance()).toEqual(['a', 'b']);
    const ended = await s.service.end(ada, maintenance.id);
    expect(ended).toMatchObject({ phase: 'ended', maintenance: { endedBy: 'ada' } });
    expect(s.inMaintenance()).toEqual([]);
    await expect(s.service.end(ada, maintenance.id)).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
    await expect(s.service.extend(ada, maintenance.id, 1)).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
    await expect(s.service.end(ada, 'nothing')).rejects.toMatchObject({ code: 'MAINTENANCE_UNKNOWN' });
    expect((await s.audit.list(9, undefined)).map(({ action }) => action)).toEqual([
      'maintenance.end',
      'maintenance.extend',
      'maintenance.start',
    ]);
  });

  it('goes on over a restart of the server', async () => {
    await threeAgents();
    await (await server()).service.start(ada, start());
    const again = await server([], new Date('2027-01-05T20:30:00Z'));
    expect(again.inMaintenance()).toEqual(['a', 'b']);
    await again.pass(30);
    expect(again.inMaintenance()).toEqual([]);
  });

  it('of several counts the one that ends last', async () => {
    await threeAgents();
    const s = await server();
    const short = await s.service.start(ada, start({ forMs: 10 * MINUTE_MS }));
    const long = await s.service.start(ada, start({ on: 'name=a' }));
    expect(s.service.of(['a', 'b', 'c'])).toEqual(
      new Map([
        ['a', long.maintenance.id],
        ['b', short.maintenance.id],
      ]),
    );
    await s.pass(10);
    expect(s.inMaintenance()).toEqual(['a']);
    expect(s.changes.at(-1)).toEqual({ entered: [], left: ['b'] });
  });

  it('follows the labels of agents, and takes in those that are new', async () => {
    await threeAgents();
    const s = await server();
    await s.service.start(ada, start());
    s.service.hello({ id: 'c', name: 'c', labels: { role: 'web' }, facts: {} });
    s.service.hello({ id: 'a', name: 'a', labels: {}, facts: {} });
    expect(s.inMaintenance()).toEqual(['b', 'c']);
  });

  it.each([
    [start({ on: 'role=mail' }), 'NO_TARGETS'],
    [start({ on: 'role in mail' }), 'TARGETS_INVALID'],
    [start({ forMs: 91 * 24 * 60 * MINUTE_MS }), 'REQUEST_INVALID'],
    [start({ startsAt: new Date('2027-01-05T18:00:00Z') }), 'REQUEST_INVALID'],
  ])('%o is refused: %s', async (request, code) => {
    await threeAgents();
    const { service } = await server();
    await expect(service.start(ada, request)).rejects.toMatchObject({ code });
    expect((await service.list({ ended: true, limit: 10, pageToken: '' })).maintenances).toEqual([]);
  });

  it('is listed page by page, the newest first; ended ones on request', async () => {
    await threeAgents();
    const s = await server();
    const ids: string[] = [];
    for (let i = 0; i < 3; i++) ids.unshift((await s.service.start(ada, start())).maintenance.id);
    await s.service.end(ada, ids[1] ?? '');
    const first = await s.service.list({ ended: true, limit: 2, pageToken: '' });
    const rest = await s.service.list({ ended: true, limit: 2, pageToken: first.nextPageToken });
    expect([...first.maintenances, ...rest.maintenances].map(({ maintenance }) => maintenance.id)).toEqual(ids);
    expect(rest.nextPageToken).toBe('');
    const open = await s.service.list({ ended: false, limit: 10, pageToken: '' });
    expect(open.maintenances.map(({ maintenance }) => maintenance.id)).toEqual([ids[0], ids[2]]);
  });
});

describe('alerts that are raised in maintenance', () => {
  it('are recorded and listed, and those that are still open when it ends are told of then, once', async () => {
    await threeAgents();
    const s = await server();
    const { maintenance } = await s.service.start(ada, start());
    await s.desk.apply([raiseOf('a'), raiseOf('b'), raiseOf('c')]);
    await s.desk.apply([{ kind: 'close', subject: raiseOf('b').subject, by: 'p/r', comment: '' }]);
    const during = await s.service.get(maintenance.id);
    expect(during).toMatchObject({ suppressed: 2, names: ['a', 'b'] });
    expect(during.alerts.map(({ agentName, closed }) => [agentName, closed])).toEqual([
      ['a', false],
      ['b', true],
    ]);
    s.told.length = 0;
    await s.pass(60);
    await s.pass(5);
    expect(s.told.map(({ kind, alert }) => [kind, alert.agentName])).toEqual([['surfaced', 'a']]);
    // What it suppressed stays known.
    expect(await s.service.get(maintenance.id)).toMatchObject({ suppressed: 2 });
  });

  it('do not surface while another maintenance lasts', async () => {
    await threeAgents();
    const s = await server();
    await s.service.start(ada, start({ forMs: 10 * MINUTE_MS }));
    await s.desk.apply([raiseOf('a'), raiseOf('b')]);
    await s.service.start(ada, start({ on: 'name=a' }));
    s.told.length = 0;
    await s.pass(10);
    expect(s.told.map(({ alert }) => alert.agentName)).toEqual(['b']);
    await s.pass(60);
    expect(s.told.map(({ alert }) => alert.agentName)).toEqual(['b', 'a']);
  });

  it('surface also when it ended while no server was there', async () => {
    await threeAgents();
    const before = await server();
    await before.service.start(ada, start());
    await before.desk.apply([raiseOf('a')]);
    before.service.stop();
    const again = await server([], new Date('2027-01-06T08:00:00Z'));
    await again.pass(0);
    expect(again.told.map(({ kind }) => kind)).toEqual(['surfaced']);
  });
});

describe('a maintenance window', () => {
  const window = (name: string, yaml: string): DeclaredObject<MaintenanceWindowSpec> => ({
    name,
    spec: specOf(maintenanceWindowKind, yaml),
    updatedBy: 'bob',
    updatedAt: new Date(0),
  });
  const nightly = '{on: role=web, schedule: "0 22 * * *", for: 2h, reason: nightly}';

  it('comes by itself, again and again, each time once', async () => {
    await threeAgents();
    const s = await server([window('night', nightly)]);
    expect((await s.service.list({ ended: false, limit: 10, pageToken: '' })).upcoming).toMatchObject([
      { phase: 'scheduled', maintenance: { id: '', window: 'night', startsAt: new Date('2027-01-05T22:00:00Z') } },
    ]);
    await s.pass(119);
    expect(s.inMaintenance()).toEqual([]);
    await s.pass(1);
    await s.pass(1);
    expect(s.inMaintenance()).toEqual(['a', 'b']);
    await s.pass(119);
    expect(s.inMaintenance()).toEqual([]);
    await s.pass(22 * 60);
    expect(s.inMaintenance()).toEqual(['a', 'b']);
    const { maintenances } = await s.service.list({ ended: true, limit: 10, pageToken: '' });
    expect(maintenances).toMatchObject([
      { phase: 'active', maintenance: { window: 'night', startedBy: 'bob', reason: 'nightly' } },
      { phase: 'ended', maintenance: { window: 'night' } },
    ]);
  });

  it('comes in time also when the clock was far ahead for a moment', async () => {
    await threeAgents();
    const s = await server([window('night', nightly)]);
    await s.pass(30 * 24 * 60);
    await s.pass(-30 * 24 * 60);
    await s.pass(121);
    expect(s.inMaintenance()).toEqual(['a', 'b']);
  });

  it('that a person has ended stays ended, also after a restart in the middle of it', async () => {
    await threeAgents();
    const windows = [window('night', nightly)];
    const s = await server(windows, new Date('2027-01-05T22:30:00Z'));
    await s.pass(0);
    const { maintenances } = await s.service.list({ ended: false, limit: 10, pageToken: '' });
    await s.service.end(ada, maintenances[0]?.maintenance.id ?? '');
    await s.pass(1);
    expect(s.inMaintenance()).toEqual([]);
    const again = await server(windows, new Date('2027-01-05T22:40:00Z'));
    await again.pass(0);
    expect(again.inMaintenance()).toEqual([]);
  });

  it('that is changed or deleted while it lasts takes its occurrence with it', async () => {
    await threeAgents();
    const s = await server([window('night', nightly), window('db', '{on: role=db, schedule: "0 22 * * *", for: 2h}')]);
    await s.pass(121);
    expect(s.inMaintenance()).toEqual(['a', 'b', 'c']);
    s.declared.list = [window('night', '{on: name=a, schedule: "0 22 * * *", for: 2h}')];
    s.declared.changed();
    await s.pass(0);
    expect(s.inMaintenance()).toEqual(['a']);
    s.declared.list = [window('night', '{on: name=a, schedule: "0 21 * * *", for: 2h}')];
    s.declared.changed();
    await s.pass(0);
    // The new times have an occurrence of their own that lasts now.
    expect(s.inMaintenance()).toEqual(['a']);
    s.declared.list = [];
    s.declared.changed();
    await s.pass(0);
    expect(s.inMaintenance()).toEqual([]);
  });
});
