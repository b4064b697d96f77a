import { parsePack } from '@openline/packs';
import { describe, expect, it } from 'vitest';
import type { Attributes } from '../agents/selector.ts';
import type { DeclaredObject } from '../declared/declared.ts';
import type { StoredPack } from '../packs/pack-service.ts';
import { checkOverrides } from './check-overrides.ts';
import type { HeartbeatPolicySpec } from './heartbeat-policy.ts';
import { type OverrideSpec, overrideKind } from './override.ts';
import { createPolicies } from './policies.ts';
import { specOf } from './testing.ts';
import { createWatchReader } from './watch-reader.ts';

const PACK = `
apiVersion: openline.dev/v1
kind: Pack
metadata: {name: linux, version: 1.0.0, title: Linux}
tasks:
  nothing: {title: Nothing, run: {builtin: ping}}
rules:
  oom:
    title: Out of memory
    requires: {os: linux}
    settings: {limit: 3}
    on: [{log: kernel, pattern: 'Out of memory'}]
    threshold: {count: 5, within: 2m}
    alert: {severity: critical, title: OOM}
monitors:
  disk:
    title: Disk space
    enabled: false
    settings: {warning_percent: 80}
    probe:
      every: 1m
      http: {url: 'http://localhost'}
      warning: sample.status > settings.warning_percent
`;

const TASKS_ONLY = `
apiVersion: openline.dev/v1
kind: Pack
metadata: {name: tasks-only, version: 1.0.0, title: Tasks}
tasks:
  nothing: {title: Nothing, run: {builtin: ping}}
`;

const stored = (yaml: string): StoredPack => {
  const pack = parsePack(Buffer.from(yaml), 'test.yaml');
  return {
    pack,
    digest: Buffer.alloc(32),
    content: Buffer.alloc(0),
    signature: '',
    keyId: '',
    pushedBy: '',
    pushedAt: new Date(),
    wanted: true,
  };
};
const packs = { wanted: () => [stored(PACK), stored(TASKS_ONLY)] };
const web1: Attributes = { id: '1', name: 'web-1', labels: { role: 'web' }, facts: { os: 'linux' } };
const winter: Attributes = { ...web1, id: '2', name: 'winter', facts: { os: 'windows' } };

function reader(overrides: Record<string, string>) {
  const list = Object.entries(overrides).map(
    ([name, yaml]): DeclaredObject<OverrideSpec> => ({
      name,
      spec: specOf(overrideKind, yaml),
      updatedBy: '',
      updatedAt: new Date(),
    }),
  );
  const none: DeclaredObject<HeartbeatPolicySpec>[] = [];
  const policies = createPolicies(
    { overrides: { list: () => list, onChange() {} }, heartbeats: { list: () => none, onChange() {} } },
    { intervalMs: 15_000, silenceMs: 45_000, stoppedAfterMs: 1 },
  );
  return { policies, reader: createWatchReader({ packs, policies }) };
}

describe('the rules and monitors there are', () => {
  it('are those of the packs, with how many overrides they have', async () => {
    const { reader: r } = reader({ a: '{watch: linux/oom, enabled: false, on: role=db}' });
    const all = await r.list({ kind: undefined, watch: '' }, undefined);
    expect(all.map(({ kind, name, enabled, overrides }) => [kind, name, enabled, overrides])).toEqual([
      ['rule', 'linux/oom', true, 1],
      ['monitor', 'linux/disk', false, 0],
    ]);
    expect(await r.list({ kind: 'monitor', watch: 'linux' }, undefined)).toHaveLength(1);
  });
  it('are nothing where their pack has none, and a refusal where the name is wrong', async () => {
    const { reader: r } = reader({});
    const list = (kind: 'rule' | 'monitor', watch: string) => r.list({ kind, watch }, undefined);
    expect(await list('rule', 'tasks-only')).toEqual([]);
    await expect(list('rule', 'linx')).rejects.toMatchObject({ code: 'PACK_UNKNOWN' });
    await expect(list('rule', 'linx')).rejects.toThrow("there is no pack «linx»; did you mean 'linux'?");
    await expect(list('rule', 'oom')).rejects.toThrow("no pack «oom»; did you mean 'linux/oom'?");
    await expect(list('monitor', 'linux/dsik')).rejects.toThrow(
      "no pack has a monitor «linux/dsik»; did you mean 'linux/disk'?",
    );
    await expect(list('rule', 'linux/disk')).rejects.toThrow('no pack has a rule «linux/disk»: it is a monitor');
    await expect(list('rule', 'linux/')).rejects.toMatchObject({ code: 'WATCH_UNKNOWN' });
    await expect(r.explain('oom', web1)).rejects.toThrow("rule or monitor «oom»; did you mean 'linux/oom'?");
  });
  it('hold on an agent as overrides and what it has say', async () => {
    const { reader: r } = reader({
      on: '{watch: linux/disk, on: role=web, enabled: true, settings: {warning_percent: 90}}',
    });
    expect(await r.list({ kind: undefined, watch: '' }, web1)).toMatchObject([
      { name: 'linux/oom', holds: true, why: 'the pack enables it' },
      {
        name: 'linux/disk',
        holds: true,
        enabled: true,
        settings: { warning_percent: 90 },
        overridden: ['warning_percent', 'enabled'],
      },
    ]);
    expect(await r.list({ kind: 'rule', watch: '' }, winter)).toMatchObject([
      { name: 'linux/oom', holds: false, enabled: true, why: 'it requires os=linux, and the agent has os=windows' },
    ]);
  });
});

describe('what holds on an agent, and why', () => {
  it('is said layer by layer, from the override with the last word to the pack', async () => {
    const { reader: r } = reader({
      all: '{watch: linux/oom, severity: warning, threshold: {count: 9}, reason: too loud}',
      web: '{watch: linux/oom, on: role=web, threshold: {count: 2}}',
      other: '{watch: linux/disk, enabled: true}',
    });
    const explained = await r.explain('linux/oom', web1);
    expect(explained.watch).toMatchObject({ holds: true, settings: { limit: 3, 'threshold.count': 2 } });
    expect(explained.packDefault).toMatchObject({ settings: { limit: 3, 'threshold.count': 5 } });
    expect(
      explained.layers.map(({ name, specificity, reason, overruled }) => [name, specificity, reason, [...overruled]]),
    ).toEqual([
      ['web', 'one term', '', []],
      ['all', 'all', 'too loud', [['threshold.count', 'web']]],
    ]);
    expect(explained.requirements).toEqual([{ key: 'os', wanted: 'linux', has: 'linux', met: true }]);
    expect(explained.problems).toEqual([]);
  });
  it('names what of an override makes no sense', async () => {
    const { reader: r } = reader({ odd: '{watch: linux/disk, settings: {warnig_percent: 1}}' });
    expect((await r.explain('linux/disk', web1)).problems).toEqual([expect.stringContaining('warnig_percent')]);
  });
  it.each(['linux/omo', 'linux', 'nothing/at-all'])('is refused of %s', async (name) => {
    await expect(reader({}).reader.explain(name, web1)).rejects.toMatchObject({ code: 'WATCH_UNKNOWN' });
  });
});

describe('an override that is applied', () => {
  const check = async (yaml: string) => {
    const said: string[] = [];
    const report = {
      add: (at: number, message: string) => void said.push(`${yaml.slice(at).split(/\W/)[0]}: ${message}`),
    };
    await checkOverrides(packs, [{ name: 'x', before: undefined, after: specOf(overrideKind, yaml), report }]);
    return said;
  };
  it('may be of a pack that comes later', async () => {
    expect(await check('{watch: windows/whatever, enabled: false}')).toEqual([]);
    expect(await check('{watch: linux/oom, settings: {limit: 5}}')).toEqual([]);
  });
  it.each([
    ['{watch: linux/omo, enabled: false}', /^linux: .*'omo'.*oom/],
    ['{watch: linux/oom, settings: {lmit: 5}}', /^lmit: .*lmit/],
    ['{watch: linux/oom, settings: {limit: many}}', /^limit: .*limit/],
  ])('%s is refused at its place: the pack that is there has no such thing', async (yaml, message) => {
    expect(await check(yaml)).toEqual([expect.stringMatching(message)]);
  });
});

describe('the policy of agents', () => {
  it('is one object, and one message, for all on which the same holds', () => {
    const { policies } = reader({
      web: '{watch: linux/oom, on: role=web, settings: {limit: 4}, enabled: false}',
      one: '{watch: linux/disk, on: name=db-1, enabled: true}',
    });
    const of = (name: string, role: string) => policies.of({ id: name, name, labels: { role }, facts: {} });
    expect(of('web-1', 'web')).toBe(of('web-2', 'web'));
    expect(of('mail', 'mail')).toBe(of('other', 'dns'));
    expect(new Set([of('web-1', 'web'), of('mail', 'mail'), of('db-1', 'db')]).size).toBe(3);
  });
});
