import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKeyPair } from '@openline/packs';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type ConfigSources, loadConfig } from './config.ts';
import { envOf, KEY_NAMES } from './keys.ts';
import { describeConfig, renderConfigReference } from './reference.ts';
import { parseServer } from './values.ts';

function yaml(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'openline-config-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'agent.yaml');
  writeFileSync(file, text);
  return file;
}

const problem = (sources: ConfigSources) =>
  loadConfig(sources).then(
    () => 'accepted',
    (error: Error) => error.message,
  );

describe('the configuration of an agent', () => {
  it('has a default for everything', async () => {
    const config = await loadConfig({});
    expect(config).toMatchObject({
      servers: [{ host: 'localhost', port: 5723 }],
      joinToken: undefined,
      tasks: { concurrency: 8, queueLimit: 256, allow: ['*/*'], killGraceMs: 5_000 },
    });
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('has the defaults that it documents', async () => {
    const derived = new Set(['dataDir', 'name', 'trustedPackKeys']);
    const documented = describeConfig().filter((key) => key.default !== '' && !derived.has(key.name));
    const flags = Object.fromEntries(documented.map((key) => [key.name, key.default]));
    expect(await loadConfig({ flags })).toEqual(await loadConfig({}));
  });

  it('takes a flag before the environment before the file', async () => {
    const file = yaml('name: c\nlogLevel: error\ntasks: { concurrency: 3 }\n');
    const env = { OPENLINE_AGENT_NAME: 'b', OPENLINE_AGENT_LOG_LEVEL: 'warn', OPENLINE_AGENT_CONFIG: file };
    expect(await loadConfig({ env, flags: { name: 'a' } })).toMatchObject({
      name: 'a',
      logLevel: 'warn',
      tasks: { concurrency: 3 },
    });
  });

  it('keeps the order of the servers, however they are written', async () => {
    const expected = [
      { host: 'a', port: 5723 },
      { host: '::1', port: 7 },
    ];
    expect((await loadConfig({ flags: { servers: ['a', '[::1]:7'] } })).servers).toEqual(expected);
    expect((await loadConfig({ env: { OPENLINE_AGENT_SERVERS: 'a, [::1]:7' } })).servers).toEqual(expected);
    expect((await loadConfig({ file: yaml('servers: [a, "[::1]:7"]') })).servers).toEqual(expected);
  });

  it('reads labels as a mapping or as pairs', async () => {
    const expected = { role: 'web', tier: '1' };
    expect((await loadConfig({ file: yaml('labels: { role: web, tier: 1 }') })).labels).toEqual(expected);
    expect((await loadConfig({ flags: { labels: ['role=web', 'tier=1'] } })).labels).toEqual(expected);
    expect((await loadConfig({ env: { OPENLINE_AGENT_LABELS: 'role=web,tier=1' } })).labels).toEqual(expected);
  });

  it('takes a public key of packs as minisign prints it', async () => {
    const line = generateKeyPair('test').publicKey.trim().split('\n').at(-1) ?? '';
    expect((await loadConfig({ flags: { trustedPackKeys: [line] } })).trustedPackKeys).toEqual([line]);
    expect(await problem({ flags: { trustedPackKeys: ['RWnonsense'] } })).toMatch(/^--trusted-pack-key: expected/);
  });
});

describe('the files whose lines are events', () => {
  const log = (path: string, more: object = {}) => ({
    path,
    format: 'plain',
    encoding: 'utf-8',
    source: undefined,
    fields: {},
    ...more,
  });
  const files = async (sources: ConfigSources) => (await loadConfig(sources)).events.files;

  it('are paths or mappings, and in a flag or variable paths, or JSON', async () => {
    const shop = { format: 'json', encoding: 'latin1', source: 'shop', fields: { message: 'm' } };
    const file = yaml(`
      events:
        files:
          - /var/log/a.log
          - { path: '/srv/*/b.log', format: json, encoding: latin1, source: shop, fields: { message: m } }`);
    expect(await files({ file })).toMatchObject([log('/var/log/a.log'), log('/srv/*/b.log', shop)]);
    const env = { OPENLINE_AGENT_EVENTS_FILES: '/var/log/{a,b}.log, /c' };
    expect(await files({ env })).toMatchObject([log('/var/log/{a,b}.log'), log('/c')]);
    const flags = { 'events.files': ['/a', JSON.stringify([{ path: '/b', format: 'syslog' }, '/c'])] };
    expect(await files({ flags })).toMatchObject([log('/a'), log('/b', { format: 'syslog' }), log('/c')]);
  });

  it.each([
    'relative.log',
    '/a,/a',
    '{"path":"/a","format":"xml"}',
    '{"path":"/a","encoding":"ebcdic"}',
    '{"path":"/a","forma":"json"}',
    '{"path":"/a","fields":{"text":"x"}}',
    '{"path":"/a","source":""}',
    '{"path":',
    '[5]',
  ])('are not %j', async (given) => {
    expect(await problem({ flags: { 'events.files': given } })).toMatch(/^--events-files: expected /);
  });
});

describe('the surroundings', () => {
  it('say the name of the node, and where its cluster is asked', async () => {
    const env = { NODE_NAME: 'n1', KUBERNETES_SERVICE_HOST: '10.0.0.1', KUBERNETES_SERVICE_PORT: '6443' };
    const { events } = await loadConfig({ env, flags: { dataDir: '/d' } });
    expect(events).toMatchObject({
      nodeName: 'n1',
      kubernetesApi: { host: '10.0.0.1', port: 6443 },
      directory: '/d/events',
    });
    expect((await loadConfig({ env, flags: { 'events.nodeName': 'n2' } })).events.nodeName).toBe('n2');
    expect((await loadConfig({})).events.kubernetesApi).toBeUndefined();
  });

  it('are none where an agent that is in no cluster is to read its events', async () => {
    expect(await problem({ flags: { 'events.sources': ['kubernetes'] } })).toMatch(/does not run in a cluster/);
  });
});

describe('a wrong configuration', () => {
  it('is named where it was set', async () => {
    expect(await problem({ flags: { servers: ['a b'] } })).toMatch(/^--server: expected host/);
    expect(await problem({ env: { OPENLINE_AGENT_TASKS_KILL_GRACE: 'soon' } })).toMatch(
      /^OPENLINE_AGENT_TASKS_KILL_GRACE: /,
    );
    const file = yaml('tasks: { queueLimit: many }');
    expect(await problem({ file })).toBe(`tasks.queueLimit in ${file}: expected a whole number from 0 to 4000`);
  });

  it('is a key that does not exist, at any depth', async () => {
    expect(await problem({ file: yaml('task: { allow: "*" }') })).toMatch(/^task in .*: there is no such key$/);
    expect(await problem({ file: yaml('tasks: { alow: "*" }') })).toMatch(/^tasks.alow in .*: there is no such key$/);
    expect(await problem({ file: yaml('- a list') })).toMatch(/there is no such key$/);
  });

  it('is reported whole', async () => {
    expect((await problem({ flags: { logLevel: 'x', caHash: 'y' } })).split('; ')).toHaveLength(2);
  });

  it('is a file that is missing, or not YAML, or an alias bomb', async () => {
    expect(await problem({ file: '/nonexistent/agent.yaml' })).toContain('(ENOENT)');
    const broken = yaml('joinToken: [hunter2\nb: }');
    expect(await problem({ file: broken })).toMatch(/:\d+:\d+: not valid YAML$/);
    expect(await problem({ file: yaml('labels: &a { x: 1 }\ntasks: *a') })).toMatch(/aliases are not allowed/);
  });

  it('is never repeated: the value may be a secret', async () => {
    const names = KEY_NAMES.filter((name) => name !== 'joinToken' && name !== 'dataDir');
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...names), fc.string(), async (name, rest) => {
        const secret = `hunter2 ${rest}`;
        expect(await problem({ flags: { [name]: secret } })).not.toContain('hunter2');
        expect(await problem({ env: { [envOf(name)]: secret } })).not.toContain('hunter2');
        expect(await problem({ flags: { [name]: { nested: secret } } })).not.toContain('hunter2');
      }),
    );
  });
});

describe('the address of a server', () => {
  it.each(['', 'a b', ':5723', 'host:0', 'host:65536', '::1', 'http://host', 'host:5723/x'])('is not %j', (text) => {
    expect(parseServer(text)).toBeUndefined();
  });
});

describe('docs/configuration.md (`npm run generate` writes it)', () => {
  it('has every key of the agent', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../docs/configuration.md'), 'utf8');
    expect(page).toContain(renderConfigReference());
  });
});
