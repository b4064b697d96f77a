import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Evidence } from './diagnosis.ts';
import { ALL, type Ended, type GroupRef, type LineAgent } from './line.ts';
import { Lines } from './lines.ts';
import { type SavedLine, savedOf } from './saved-line.ts';

const SETTLE_MS = 5_000;
const GRACE_MS = 90_000;
const rule = { members: 3, percent: 50, storm: undefined };
const group = (key: string): GroupRef => ({ key, rule: key === ALL ? { ...rule, storm: 20 } : rule });

const beat = {
  intervalMs: 15_000,
  silenceMs: 45_000,
  stoppedAfterMs: 900_000,
  alert: true,
  severity: 'critical',
} as const;

function agent(id: string, groups: string[] = [], heartbeat: Partial<LineAgent['heartbeat']> = {}): LineAgent {
  return { id, name: id, groups: [...groups, ALL].map(group), heartbeat: { ...beat, ...heartbeat } };
}

/** Every second of an imagined clock. */
function fleet(agents: readonly LineAgent[]) {
  let lines = new Lines({ settleMs: SETTLE_MS, graceMs: GRACE_MS });
  let nowMs = 0;
  for (const each of agents) lines.opened(each);
  const self = {
    get lines() {
      return lines;
    },
    now: () => nowMs,
    lose(id: string, ended: Ended = 'broken', heardMs = nowMs) {
      lines.ended(id, { ended, why: '', sinceUnixMs: heardMs }, heardMs);
    },
    back(id: string) {
      const known = agents.find((each) => each.id === id);
      if (known !== undefined) lines.opened(known);
    },
    /** @returns who was looked into */
    pass(seconds: number): string[] {
      const missed: string[] = [];
      for (let i = 0; i < seconds; i++) {
        nowMs += 1_000;
        missed.push(...lines.tick(nowMs));
      }
      return missed;
    },
    /** Which alerts there are now. */
    alerts(): string[] {
      const own = [...lines.all()].flatMap(({ agent: { id }, state }) =>
        state.kind === 'down' && state.cover.kind === 'own' ? [state.cover.suppressed ? `(${id})` : id] : [],
      );
      return [...own, ...[...lines.outages()].map(({ group: { key }, members }) => `${key}: ${[...members].sort()}`)];
    },
    /** What a restart keeps; the clock goes on while it lasts. */
    restart(downSeconds: number, online: (id: string) => boolean = () => true) {
      const saved = new Map(
        [...lines.all()].flatMap((line): [string, SavedLine][] => {
          const kept = savedOf(line);
          return kept === undefined ? [] : [[kept.agentId, JSON.parse(JSON.stringify(kept))]];
        }),
      );
      const known = [...lines.all()].map((line) => line.agent);
      const maintained = new Set([...lines.all()].flatMap((line) => (line.maintained ? [line.agent.id] : [])));
      nowMs += downSeconds * 1_000;
      lines = new Lines({ settleMs: SETTLE_MS, graceMs: GRACE_MS });
      for (const each of known)
        lines.load(each, { seenUnixMs: nowMs, maintained: maintained.has(each.id) }, saved.get(each.id), {
          ms: nowMs,
          unixMs: nowMs,
        });
      lines.hold(nowMs);
      for (const each of known) if (online(each.id)) lines.opened(each);
    },
  };
  return self;
}

describe('a line that is lost', () => {
  it('is nobody’s business while it may come back within what is tolerated', () => {
    const { lines, ...f } = fleet([agent('a'), agent('b')]);
    f.lose('a');
    expect(f.pass(44)).toEqual([]);
    f.back('a');
    f.pass(200);
    expect(f.alerts()).toEqual([]);
    expect(lines.changedLines.size).toBe(0);
  });
  it('is looked into when its time is over, and makes one alert a heartbeat and a moment later', () => {
    const f = fleet([agent('a'), agent('b')]);
    f.lose('a');
    expect(f.pass(45)).toEqual(['a']);
    f.pass(19);
    expect(f.alerts()).toEqual([]);
    f.pass(1);
    expect(f.alerts()).toEqual(['a']);
    expect(f.pass(10_000)).toEqual([]);
    expect(f.alerts()).toEqual(['a']);
  });
  it('counts from when it was last heard, not from when its silence was noticed', () => {
    const f = fleet([agent('a')]);
    f.pass(45);
    f.lose('a', 'silent', 0);
    expect(f.pass(1)).toEqual(['a']);
  });
  it('closes its alert by itself when it is back', () => {
    const f = fleet([agent('a')]);
    f.lose('a');
    f.pass(65);
    f.lines.changedLines.clear();
    f.back('a');
    expect(f.alerts()).toEqual([]);
    expect([...f.lines.changedLines]).toEqual(['a']);
  });
  it('makes none when it comes back while it is decided whom it was lost with', () => {
    const f = fleet([agent('a')]);
    f.lose('a');
    f.pass(60);
    f.back('a');
    f.pass(100);
    expect(f.alerts()).toEqual([]);
  });
  it('as its agent was stopped on purpose, is said after a quarter of an hour', () => {
    const f = fleet([agent('a'), agent('never', [], { stoppedAfterMs: undefined })]);
    f.lose('a', 'stopped');
    f.lose('never', 'stopped');
    f.pass(900);
    expect(f.alerts()).toEqual([]);
    f.pass(20);
    expect(f.alerts()).toEqual(['a']);
    expect(f.lines.get('a')?.state).toMatchObject({ verdict: 'stopped' });
  });
  it('of a revoked agent is expected by nobody', () => {
    const f = fleet([agent('a'), agent('b')]);
    f.lose('a');
    f.lines.gone('a');
    f.lose('b');
    f.pass(100);
    f.lines.gone('b');
    expect(f.alerts()).toEqual([]);
  });
  it('makes no alert where its policy wants none, and one as soon as the policy wants it', () => {
    const f = fleet([agent('laptop', [], { alert: false })]);
    f.lose('laptop');
    f.pass(100);
    expect(f.alerts()).toEqual([]);
    f.lines.changed(agent('laptop'), f.now());
    f.pass(20);
    expect(f.alerts()).toEqual(['laptop']);
    f.lines.changed(agent('laptop', [], { alert: false }), f.now());
    expect(f.alerts()).toEqual([]);
  });
  it('follows a policy that changes while it is away', () => {
    const f = fleet([agent('a')]);
    f.lose('a');
    f.pass(10);
    f.lines.changed(agent('a', [], { silenceMs: 20_000, intervalMs: 5_000 }), f.now());
    expect(f.pass(10)).toEqual(['a']);
  });
  it('of a node that Kubernetes has removed makes none', () => {
    const f = fleet([agent('a')]);
    f.lose('a', 'stopped');
    f.pass(900);
    const evidence: Evidence = { tcp: 'silent', icmp: 'skipped', node: 'absent', shared: false, notes: [] };
    f.lines.found('a', evidence);
    f.pass(100);
    expect(f.alerts()).toEqual([]);
  });
  it('closes its alert when Kubernetes removes its node meanwhile', () => {
    const f = fleet([agent('a')]);
    const evidence: Evidence = { tcp: 'silent', icmp: 'skipped', node: 'not-ready', shared: false, notes: [] };
    f.lose('a');
    f.pass(50);
    f.lines.found('a', evidence);
    f.pass(100);
    expect(f.alerts()).toEqual(['a']);
    f.lines.found('a', { ...evidence, node: 'absent' });
    expect(f.alerts()).toEqual([]);
    expect(f.lines.get('a')?.state).toMatchObject({ verdict: 'removed', cover: { kind: 'none' } });
  });
});

const rack = (name: string, count: number) =>
  Array.from({ length: count }, (_, i) => agent(`${name}${String(i).padStart(3, '0')}`, [`rack=${name}`]));

describe('agents of one rack', () => {
  it('that are lost together make one alert', () => {
    const f = fleet([...rack('r', 5), ...rack('s', 20)]);
    for (let i = 0; i < 5; i++) {
      f.lose(`r00${i}`);
      f.pass(3);
    }
    f.pass(100);
    expect(f.alerts()).toEqual(['rack=r: r000,r001,r002,r003,r004']);
  });
  it('that come back are counted down, and the alert closes with the last', () => {
    const f = fleet([...rack('r', 5), ...rack('s', 20)]);
    for (let i = 0; i < 5; i++) f.lose(`r00${i}`);
    f.pass(65);
    f.lines.changedOutages.clear();
    f.back('r000');
    expect(f.alerts()).toEqual(['rack=r: r001,r002,r003,r004']);
    expect([...f.lines.changedOutages]).toEqual(['rack=r']);
    for (let i = 1; i < 5; i++) f.back(`r00${i}`);
    expect(f.alerts()).toEqual([]);
    expect(f.lines.outage('rack=r')).toBeUndefined();
  });
  it('of which a few stay away get alerts of their own after a while', () => {
    const f = fleet([...rack('r', 5), ...rack('s', 20)]);
    for (let i = 0; i < 5; i++) f.lose(`r00${i}`);
    f.pass(65);
    for (let i = 2; i < 5; i++) f.back(`r00${i}`);
    f.pass(89);
    expect(f.alerts()).toEqual(['rack=r: r000,r001']);
    f.pass(3);
    expect(f.alerts()).toEqual(['r000', 'r001']);
  });
  it('that follow later join the alert that is open', () => {
    const f = fleet([...rack('r', 5), ...rack('s', 20)]);
    for (let i = 0; i < 4; i++) f.lose(`r00${i}`);
    f.pass(300);
    f.lose('r004');
    f.pass(65);
    expect(f.alerts()).toEqual(['rack=r: r000,r001,r002,r003,r004']);
  });
  it('that are lost for themselves long after the rest have alerts of their own', () => {
    const f = fleet(rack('r', 6));
    for (let i = 0; i < 5; i++) f.lose(`r00${i}`);
    f.pass(70);
    f.pass(600);
    f.lose('r005');
    f.pass(70);
    expect(f.alerts()).toEqual(['r005', 'rack=r: r000,r001,r002,r003,r004']);
  });
  it('that are lost one after the other, each for itself, have alerts of their own', () => {
    const f = fleet([...rack('r', 5), ...rack('s', 20)]);
    for (let i = 0; i < 5; i++) {
      f.lose(`r00${i}`);
      f.pass(100);
    }
    expect(f.alerts()).toEqual(['r000', 'r001', 'r002', 'r003', 'r004']);
  });
  it('that are a minority of it have alerts of their own', () => {
    const f = fleet([...rack('r', 10)]);
    for (let i = 0; i < 4; i++) f.lose(`r00${i}`);
    f.pass(100);
    expect(f.alerts()).toHaveLength(4);
  });
  it('in a zone that is lost as a whole make one alert, that of the zone', () => {
    const zone = ['r', 's', 't'].flatMap((name) =>
      rack(name, 4).map((each) => ({ ...each, groups: [...each.groups, group('zone=z')] })),
    );
    const f = fleet([...zone, ...rack('u', 30)]);
    for (const { id } of zone) f.lose(id);
    f.pass(65);
    expect(f.alerts()).toEqual([`zone=z: ${zone.map(({ id }) => id)}`]);
  });
  it('that are lost all over the fleet, with no rack to explain it, make one alert of the fleet', () => {
    const racks = Array.from({ length: 60 }, (_, i) => rack(`r${i}-`, 10)).flat();
    const f = fleet(racks);
    const lost = racks.filter((_, i) => i % 10 < 3).map(({ id }) => id);
    for (const id of lost) f.lose(id);
    f.pass(65);
    expect(f.alerts()).toEqual([`all: ${lost.sort()}`]);
  });
  it('that are stopped on purpose are not missed by their group, and do not hide that the rest of it is lost', () => {
    const f = fleet([...rack('r', 8)]);
    for (let i = 0; i < 5; i++) f.lose(`r00${i}`, 'stopped');
    for (let i = 5; i < 8; i++) f.lose(`r00${i}`);
    f.pass(65);
    expect(f.alerts()).toEqual(['rack=r: r005,r006,r007']);
  });
  it('that are down for long, each for itself, do not hide that the rest of it is lost', () => {
    const f = fleet([...rack('r', 7)]);
    for (let i = 0; i < 4; i++) {
      f.lose(`r00${i}`);
      f.pass(100);
    }
    for (let i = 4; i < 7; i++) f.lose(`r00${i}`);
    f.pass(65);
    expect(f.alerts()).toEqual(['r000', 'r001', 'r002', 'r003', 'rack=r: r004,r005,r006']);
  });
  it('in maintenance, or watched by a policy without alerts, neither make the group lost nor keep it from being', () => {
    const f = fleet(rack('r', 8));
    for (let i = 0; i < 4; i++) f.lines.maintain(`r00${i}`, true, 0);
    for (let i = 2; i < 6; i++) f.lose(`r00${i}`);
    f.pass(100);
    // Of the four that count two are lost, which is too few for an outage.
    expect(f.alerts()).toEqual(['(r002)', '(r003)', 'r004', 'r005']);
  });
});

describe('agents in maintenance', () => {
  it('that are lost still when it ends are looked at as if they were lost then: a rack makes one alert', () => {
    const f = fleet([...rack('r', 5), ...rack('s', 20)]);
    for (let i = 0; i < 5; i++) f.lines.maintain(`r00${i}`, true, f.now());
    for (let i = 0; i < 5; i++) f.lose(`r00${i}`);
    f.pass(100);
    expect(f.alerts()).toHaveLength(5);
    for (let i = 0; i < 5; i++) f.lines.maintain(`r00${i}`, false, f.now());
    expect(f.alerts()).toEqual([]);
    f.pass(20);
    expect(f.alerts()).toEqual(['rack=r: r000,r001,r002,r003,r004']);
  });
  it('keep the alert that was raised before', () => {
    const f = fleet([agent('a')]);
    f.lose('a');
    f.pass(65);
    f.lines.maintain('a', true, f.now());
    f.lines.maintain('a', false, f.now());
    expect(f.alerts()).toEqual(['a']);
  });
});

describe('a server that starts', () => {
  it('makes no alert while agents come back, and one for those that do not', () => {
    const f = fleet(['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((id) => agent(id)));
    f.restart(3_600, () => false);
    f.pass(60);
    for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) f.back(id);
    f.pass(29);
    expect(f.alerts()).toEqual([]);
    f.pass(22);
    expect(f.alerts()).toEqual(['g']);
  });
  it('knows which lines are down, of which group, and closes their alerts when they are back', () => {
    const f = fleet([...rack('r', 4), agent('x'), ...rack('s', 20)]);
    for (const id of ['r000', 'r001', 'r002', 'r003', 'x']) f.lose(id);
    f.pass(65);
    const before = f.alerts();
    f.restart(10, (id) => id.startsWith('s'));
    expect(f.alerts()).toEqual(before);
    expect(f.lines.changedLines.size).toBe(0);
    f.pass(300);
    expect(f.alerts()).toEqual(before);
    for (const id of ['r000', 'r001', 'r002', 'r003', 'x']) f.back(id);
    expect(f.alerts()).toEqual([]);
  });
  it('makes an alert of its own for an agent whose group is none any more', () => {
    const lines = new Lines({ settleMs: SETTLE_MS, graceMs: GRACE_MS });
    const loss = { ended: 'broken', why: '', sinceUnixMs: 0 } as const;
    const saved = { agentId: 'a', loss, cover: { kind: 'outage', key: 'rack=gone' }, verdict: 'agent' } as const;
    lines.load(agent('a', ['rack=r']), { seenUnixMs: 0, maintained: false }, saved, { ms: 0, unixMs: 0 });
    lines.hold(0);
    for (let ms = 0; ms <= GRACE_MS + 1_000; ms += 1_000) lines.tick(ms);
    expect(lines.get('a')?.state).toMatchObject({ kind: 'down', cover: { kind: 'own', suppressed: false } });
    expect([...lines.changedLines]).toEqual(['a']);
  });

  it('knows since when an agent is stopped', () => {
    const f = fleet([agent('a')]);
    f.lose('a', 'stopped');
    f.restart(600, () => false);
    f.pass(299);
    expect(f.alerts()).toEqual([]);
    f.pass(30);
    expect(f.alerts()).toEqual(['a']);
  });
});

describe('a server that could hear nobody', () => {
  it('as it stood still, gives agents time to come back', () => {
    const f = fleet(['a', 'b', 'c'].map((id) => agent(id)));
    f.pass(10);
    for (const id of ['a', 'b', 'c']) f.lose(id, 'silent', 0);
    expect(f.lines.tick(600_000)).toEqual([]);
    for (const id of ['a', 'b', 'c']) f.back(id);
    expect(f.alerts()).toEqual([]);
  });
  it('as its store was away, gives agents time to come back', () => {
    const f = fleet(['a', 'b', 'c'].map((id) => agent(id)));
    for (const id of ['a', 'b', 'c']) f.lose(id);
    for (let i = 0; i < 300; i++) {
      f.lines.hold(f.now());
      f.pass(1);
    }
    f.pass(80);
    expect(f.alerts()).toEqual([]);
    for (const id of ['a', 'b', 'c']) f.back(id);
    f.pass(200);
    expect(f.alerts()).toEqual([]);
  });
});

describe('whatever happens to lines, in whatever order', () => {
  const ids = Array.from({ length: 9 }, (_, i) => `a${i}`);
  const agents = ids.map((id, i) =>
    agent(id, [`rack=${i % 2}`, ...(i < 6 ? ['zone=z'] : [])], i === 8 ? { alert: false } : {}),
  );
  const id = fc.constantFrom(...ids);
  const deed = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        do: fc.constant('lose' as const),
        id,
        how: fc.constantFrom<Ended>('broken', 'silent', 'stopped'),
      }),
    },
    { weight: 4, arbitrary: fc.record({ do: fc.constant('back' as const), id }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('maintain' as const, 'unmaintain' as const), id }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const), id }) },
    { weight: 6, arbitrary: fc.record({ do: fc.constant('pass' as const), seconds: fc.integer({ min: 1, max: 60 }) }) },
  );

  it('each lost line is told of by at most one alert, no line that is there by any, and one that stays lost by one in the end', () => {
    fc.assert(
      fc.property(fc.array(deed, { maxLength: 60 }), (deeds) => {
        const f = fleet(agents);
        const there = new Set(ids);
        const check = () => {
          const listed = new Map<string, number>();
          for (const {
            members,
            group: { key },
          } of f.lines.outages()) {
            expect(members.size).toBeGreaterThan(0);
            for (const member of members) {
              listed.set(member, (listed.get(member) ?? 0) + 1);
              expect(f.lines.get(member)?.state).toMatchObject({ kind: 'down', cover: { kind: 'outage', key } });
            }
          }
          for (const {
            agent: { id: lost },
            state,
          } of f.lines.all()) {
            const inOutage = state.kind === 'down' && state.cover.kind === 'outage';
            expect(listed.get(lost) ?? 0).toBe(inOutage ? 1 : 0);
            expect(state.kind === 'up').toBe(there.has(lost));
          }
        };
        for (const each of deeds) {
          switch (each.do) {
            case 'lose':
              f.lose(each.id, each.how);
              there.delete(each.id);
              break;
            case 'back':
              f.back(each.id);
              there.add(each.id);
              break;
            case 'maintain':
            case 'unmaintain':
              f.lines.maintain(each.id, each.do === 'maintain', f.now());
              break;
            case 'restart':
              f.restart(5, (one) => there.has(one));
              break;
            case 'pass':
              f.pass(each.seconds);
              break;
            default:
              each satisfies never;
          }
          check();
        }
        f.pass(1_200);
        check();
        for (const lost of ids.filter((one) => !there.has(one))) {
          const state = f.lines.get(lost)?.state;
          expect(state).toMatchObject({ kind: 'down' });
          if (state?.kind === 'down') expect(state.cover.kind === 'none').toBe(lost === 'a8');
        }
        // What is to be stored was noted: a second server that knows only that is of the same mind.
        const before = f.alerts();
        f.restart(0, (one) => there.has(one));
        expect(f.alerts()).toEqual(before);
      }),
      { numRuns: 300 },
    );
  });

  it('nothing changes that was not noted', () => {
    fc.assert(
      fc.property(fc.array(deed, { maxLength: 40 }), (deeds) => {
        const f = fleet(agents);
        const stored = new Map<string, string>();
        const store = () => {
          for (const changed of f.lines.changedLines) {
            const line = f.lines.get(changed);
            const saved = line && savedOf(line);
            if (saved === undefined) stored.delete(changed);
            else stored.set(changed, JSON.stringify(saved));
          }
          f.lines.changedLines.clear();
        };
        for (const each of deeds) {
          if (each.do === 'lose') f.lose(each.id, each.how);
          if (each.do === 'back') f.back(each.id);
          if (each.do === 'maintain') f.lines.maintain(each.id, true, f.now());
          if (each.do === 'unmaintain') f.lines.maintain(each.id, false, f.now());
          if (each.do === 'pass') f.pass(each.seconds);
          store();
          const wanted = [...f.lines.all()].flatMap((line) => {
            const saved = savedOf(line);
            return saved === undefined ? [] : [[saved.agentId, JSON.stringify(saved)]];
          });
          expect(Object.fromEntries(stored)).toEqual(Object.fromEntries(wanted));
        }
      }),
    );
  });
});
