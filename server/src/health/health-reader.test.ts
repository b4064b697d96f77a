import { describe, expect, it } from 'vitest';
import { specOf } from '../policy/testing.ts';
import { healthGroupKind } from './health-group.ts';
import { createHealthReader } from './health-reader.ts';
import { createHealthWatch } from './health-watch.ts';
import { ALL, type Line, type LineState } from './line.ts';
import type { IllCounts } from './monitor-reader.ts';

const rule = { members: 3, percent: 50, storm: undefined };
const heartbeat = { intervalMs: 1, silenceMs: 3, stoppedAfterMs: 9, alert: true, severity: 'critical' } as const;
const loss = { ended: 'silent', why: '', sinceUnixMs: 5 } as const;
const DOWN: LineState = {
  kind: 'down',
  loss,
  cover: { kind: 'own', suppressed: false },
  verdict: 'node',
  evidence: undefined,
};

function fleet() {
  const lines = new Map<string, Line>();
  const ill = new Map<string, IllCounts>();
  const maintained = new Map<string, string>();
  const problems = new Map<string, string>();
  const reader = createHealthReader({
    lines: {
      all: () => lines.values(),
      get: (id) => lines.get(id),
      problemsOf: (id) => {
        const problem = problems.get(id);
        return problem === undefined ? [] : [{ part: 'executor', problem }];
      },
      outageOf: () => undefined,
    },
    monitors: { ill: async () => ill },
    agents: { candidates: async (targets) => [{ id: String(targets).replace('name=', ''), name: '', values: [] }] },
    maintenanceOf: () => maintained,
    groups: () => [{ name: 'racks', spec: specOf(healthGroupKind, '{label: rack}') }],
  });
  return {
    reader,
    ill,
    maintained,
    problems,
    put(id: string, state: LineState = { kind: 'up' }, rack = 'r1') {
      const groups = [`rack=${rack}`, ALL].map((key) => ({ key, rule }));
      lines.set(id, { agent: { id, name: id, groups, heartbeat }, state, maintained: false });
    },
    remove: (id: string) => lines.delete(id),
  };
}
const page = { targets: '', states: [], limit: 50, pageToken: '' };
const sick = (over: Partial<IllCounts> = {}): IllCounts => ({ warning: 0, critical: 0, unknown: 0, ...over });

describe('the health of an agent', () => {
  it('is the worst of its monitors, and critical when a part of it does not work', async () => {
    const f = fleet();
    for (const id of ['fine', 'warn', 'odd', 'hangs']) f.put(id);
    f.ill.set('warn', sick({ warning: 2, unknown: 1 }));
    f.ill.set('odd', sick({ unknown: 1 }));
    f.problems.set('hangs', 'it could not write its journal');
    const { agents } = await f.reader.agents(page);
    expect(agents.map(({ id, state, reason }) => [id, state, reason])).toEqual([
      ['hangs', 'critical', 'it could not write its journal'],
      ['warn', 'warning', 'monitors: 2 warning, 1 unknown'],
      ['odd', 'unknown', 'monitors: 1 unknown'],
      ['fine', 'healthy', ''],
    ]);
  });
  it('is grey while its line is lost: what was last known, and why it is lost', async () => {
    const f = fleet();
    f.put('a', DOWN);
    f.ill.set('a', sick({ warning: 1 }));
    f.put('away', { kind: 'away', loss, heardMs: 0 });
    f.put('stopped', { kind: 'away', loss: { ...loss, ended: 'stopped' }, heardMs: 0 });
    const { agents } = await f.reader.agents(page);
    expect(agents).toMatchObject([
      { id: 'a', state: 'warning', line: 'lost', diagnosis: 'node', reason: 'its node is down; monitors: 1 warning' },
      { id: 'stopped', state: 'healthy', line: 'stopped', excused: true },
      { id: 'away', state: 'healthy', line: 'away' },
    ]);
  });
});

describe('the health of groups', () => {
  it('counts each agent once, and those in maintenance apart', async () => {
    const f = fleet();
    f.put('a');
    f.put('b', DOWN);
    f.put('c', DOWN);
    f.maintained.set('c', 'm1');
    f.put('d', { kind: 'up' }, 'r2');
    f.ill.set('d', sick({ critical: 1 }));
    const { fleet: all, groups } = await f.reader.view();
    expect(all.counts).toEqual({ healthy: 1, unknown: 0, warning: 0, critical: 1, unreachable: 1, maintenance: 1 });
    expect(groups.map(({ group, label, value, state }) => [group, label, value, state])).toEqual([
      ['racks', 'rack', 'r1', 'critical'],
      ['racks', 'rack', 'r2', 'critical'],
    ]);
  });
  it('does not suffer from agents that were stopped, or whose loss nobody minds', async () => {
    const f = fleet();
    f.put('a');
    f.put('stopped', { kind: 'away', loss: { ...loss, ended: 'stopped' }, heardMs: 0 });
    f.put('laptop', { ...DOWN, cover: { kind: 'none' } });
    const { groups } = await f.reader.view();
    expect(groups[0]).toMatchObject({ state: 'healthy', counts: { healthy: 1, unreachable: 2 } });
  });
});

describe('the list of agents', () => {
  it('comes page by page, the worst first, none left out and none twice', async () => {
    const f = fleet();
    for (let i = 0; i < 25; i++) f.put(`a${String(i).padStart(2, '0')}`, i % 3 === 0 ? DOWN : { kind: 'up' });
    const seen: string[] = [];
    let pageToken = '';
    do {
      const found = await f.reader.agents({ ...page, limit: 7, pageToken });
      seen.push(...found.agents.map(({ id }) => id));
      pageToken = found.nextPageToken;
    } while (pageToken !== '');
    expect(seen).toHaveLength(25);
    expect(new Set(seen).size).toBe(25);
    expect(seen.slice(0, 9).every((id) => Number(id.slice(1)) % 3 === 0)).toBe(true);
    await expect(f.reader.agents({ ...page, pageToken: 'x' })).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
  });
  it('may be of some states, or of some agents, only', async () => {
    const f = fleet();
    f.put('a', DOWN);
    f.put('b');
    const ids = async (over: object) => (await f.reader.agents({ ...page, ...over })).agents.map(({ id }) => id);
    expect(await ids({ states: ['unreachable'] })).toEqual(['a']);
    expect(await ids({ targets: 'name=b' })).toEqual(['b']);
  });
});

describe('who watches health', () => {
  it('hears of everything first, then of what changes, and of nothing else', async () => {
    const f = fleet();
    f.put('a');
    f.put('b');
    const time = { ms: 0 };
    let wake = () => {};
    const watch = createHealthWatch({
      reader: f.reader,
      clock: {
        nowMs: () => time.ms,
        sleep: () =>
          new Promise((resolve) => {
            wake = resolve;
          }),
      },
      onFailure: (error) => {
        throw error;
      },
    });
    const stop = new AbortController();
    const updates = watch.watch('', stop.signal)[Symbol.asyncIterator]();
    const first = await updates.next();
    expect(first.value).toMatchObject({ snapshot: true, complete: true });
    expect(first.value?.agents.map(({ id }: { id: string }) => id)).toEqual(['a', 'b']);
    const next = updates.next();
    const pass = async () => {
      await new Promise((resolve) => setImmediate(resolve));
      time.ms += 1_000;
      wake();
      await new Promise((resolve) => setImmediate(resolve));
    };
    await pass();
    await pass();
    f.put('a', DOWN);
    f.remove('b');
    await pass();
    const { value } = await next;
    expect(value).toMatchObject({ snapshot: false, agents: [{ id: 'a', line: 'lost' }], removedAgents: ['b'] });
    stop.abort();
    const last = updates.next();
    await pass();
    expect((await last).done).toBe(true);
  });
});
