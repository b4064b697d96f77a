import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { formatHostPort, parseHostPort } from '@openline/proto/host-port';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type ConfigSources, loadConfig } from './config.ts';
import { envOf, KEY_NAMES, KEYS } from './keys.ts';
import { describeConfig, renderConfigReference } from './reference.ts';

function yaml(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'openline-config-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'server.yaml');
  writeFileSync(file, text);
  return file;
}

function problemOf(sources: ConfigSources): string {
  try {
    loadConfig(sources);
  } catch (error) {
    if (error instanceof OpenlineError && error.code === 'CONFIG_INVALID') return error.message;
    throw error;
  }
  throw new Error('was accepted');
}

describe('the configuration', () => {
  it('has a default for everything', () => {
    const config = loadConfig({});
    expect(config).toMatchObject({
      agentListen: { host: '0.0.0.0', port: 5723 },
      metricsListen: { host: '127.0.0.1', port: 9464 },
      heartbeatIntervalMs: 15_000,
      offlineAfterMs: 45_000,
      databaseUrl: undefined,
      resetAdminToken: false,
    });
    expect(config.advertise).toContain('localhost');
    expect(Object.isFrozen(config)).toBe(true);
  });

  it('has the defaults that it documents', () => {
    const documented = describeConfig().filter(
      (key) => !['dataDir', 'advertise'].includes(key.name) && key.default !== '',
    );
    const flags = Object.fromEntries(documented.map((key) => [key.name, key.default]));
    expect(loadConfig({ flags })).toEqual(loadConfig({}));
  });

  it('takes a flag before the environment before the file before the default', () => {
    const file = yaml('drain: 1s\nhistoryDays: 3\nmaxAgents: 5\n');
    const env = { OPENLINE_SERVER_DRAIN: '2s', OPENLINE_SERVER_HISTORY_DAYS: '4', OPENLINE_SERVER_CONFIG: file };
    expect(loadConfig({ env, flags: { drain: '3s', logLevel: undefined } })).toMatchObject({
      drainMs: 3000,
      historyDays: 4,
      maxAgents: 5,
      logLevel: 'info',
    });
  });

  it('takes lists as YAML lists or separated by commas', () => {
    expect(loadConfig({ file: yaml('advertise: [a.example, "::1"]') }).advertise).toEqual(['a.example', '::1']);
    expect(loadConfig({ flags: { advertise: 'a.example, 10.0.0.1' } }).advertise).toEqual(['a.example', '10.0.0.1']);
  });

  it('advertises also the host by which agents reach it', () => {
    const flags = { advertise: 'a.example', agentAddress: 'agents.example:443' };
    expect(loadConfig({ flags })).toMatchObject({
      advertise: ['a.example', 'agents.example'],
      agentAddress: { host: 'agents.example', port: 443 },
    });
    expect(() => loadConfig({ flags: { agentAddress: 'agents.example:0' } })).toThrow(
      '--agent-address: expected host:port',
    );
  });

  it('gives service accounts the roles that it names', () => {
    const file = yaml('kubernetesOperators: [openline:test=operator, "ci:deploy=viewer"]');
    const expected = [
      { account: 'openline:test', role: 'operator' },
      { account: 'ci:deploy', role: 'viewer' },
    ];
    expect(loadConfig({ file }).kubernetesOperators).toEqual(expected);
    const flags = { kubernetesOperators: 'openline:test=operator, ci:deploy=viewer' };
    expect(loadConfig({ flags }).kubernetesOperators).toEqual(expected);
  });

  it('is not disturbed by what Kubernetes sets for a Service of its name', () => {
    const env = { OPENLINE_SERVER_PORT: 'tcp://10.0.0.1:5723', OPENLINE_SERVER_SERVICE_HOST: '10.0.0.1' };
    expect(loadConfig({ env })).toEqual(loadConfig({}));
    expect(KEY_NAMES.map(envOf)).not.toContain('OPENLINE_SERVER_PORT');
  });
});

describe('a wrong configuration', () => {
  it('is named where it was set, with what is expected there', () => {
    expect(problemOf({ flags: { agentListen: 'nowhere' } })).toMatch(/^--agent-listen: expected host:port/);
    expect(problemOf({ env: { OPENLINE_SERVER_DRAIN: 'soon' } })).toMatch(
      /^OPENLINE_SERVER_DRAIN: expected a duration/,
    );
    const file = yaml('historyDays: many\n');
    expect(problemOf({ file })).toBe(`historyDays in ${file}: expected a whole number from 1 to 3650`);
  });

  it('is reported whole, not one mistake at a time', () => {
    expect(problemOf({ flags: { drain: 'x', maxAgents: '-1' } }).split('; ')).toHaveLength(2);
  });

  it('is a key that does not exist', () => {
    expect(problemOf({ file: yaml('heartbeatIntervall: 1s') })).toMatch(
      /^heartbeatIntervall in .*: there is no such key$/,
    );
  });

  it.each(['openline:test', 'openline:test=root', 'test=viewer', 'a:b=viewer,a:b=admin'])(
    'is an operator account %s',
    (kubernetesOperators) => {
      expect(problemOf({ flags: { kubernetesOperators } })).toMatch(
        /^--kubernetes-operators: expected service accounts/,
      );
    },
  );

  it('is to call agents offline sooner than they are heard', () => {
    const problem = problemOf({ flags: { heartbeatInterval: '1m' } });
    expect(problem).toBe('offlineAfter: expected more than heartbeatInterval');
  });

  it('is a file that is missing, or not YAML', () => {
    expect(problemOf({ file: '/nonexistent/server.yaml' })).toContain('(ENOENT)');
    const file = yaml('a: [secret-word\nb: }');
    expect(problemOf({ file })).toMatch(new RegExp(`^${file}:\\d+:\\d+: not valid YAML`));
    expect(problemOf({ file })).not.toContain('secret-word');
  });

  it('is never repeated: the value may be a secret', () => {
    // The blank makes it wrong for every key: without it, one in some thousands is a host and a port.
    const value = fc.string({ minLength: 8 }).map((text) => `hunter2 ${text}`);
    fc.assert(
      fc.property(fc.constantFrom(...KEY_NAMES), value, (key, secret) => {
        if (KEYS[key].type.includes('path') || key === 'advertise') return;
        expect(problemOf({ flags: { [key]: secret } })).not.toContain('hunter2');
        expect(problemOf({ flags: { [key]: { nested: secret } } })).not.toContain('hunter2');
      }),
    );
  });

  it.each(['u:hunter2@[bad/db', 'u:hunter2%zz@host/db', 'u:hunter2#@host/db'])(
    'is a database URL that is not written as URLs are: %s',
    (rest) => {
      const problem = problemOf({ env: { OPENLINE_SERVER_DATABASE_URL: `postgres://${rest}` } });
      expect(problem).toMatch(/^OPENLINE_SERVER_DATABASE_URL: expected a PostgreSQL URL/);
      expect(problem).not.toContain('hunter2');
    },
  );
});

describe('the notations', () => {
  it.each(['0.0.0.0:5723', '[::]:0', 'server.example:443'])('read %s as an address and write it the same', (text) => {
    const address = parseHostPort(text);
    expect(address && formatHostPort(address)).toBe(text);
  });

  it.each(['', ':5723', 'host', 'host:65536', '::1:80', 'a b:1', 'host:-1'])(
    'do not take %j for an address',
    (text) => {
      expect(parseHostPort(text)).toBeUndefined();
    },
  );
});

describe('docs/configuration.md (`npm run generate` writes it)', () => {
  it('has the keys of this build', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../docs/configuration.md'), 'utf8');
    expect(page).toContain(renderConfigReference());
  });

  it('says of each key what it does', () => {
    for (const { name, description } of describeConfig()) expect(description, name).toMatch(/^[A-Z].*\.$/);
  });
});
