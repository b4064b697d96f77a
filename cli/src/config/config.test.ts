import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { importContexts } from '../commands/context-transfer.ts';
import { deleteContext, setContext, useContext } from '../commands/contexts.ts';
import { testIo } from '../testing/io.ts';
import { parseAddress } from './address.ts';
import { parseConfig, readConfig } from './file.ts';
import { findLocalServer } from './local-server.ts';
import { locate } from './locate.ts';

let home: string;
let work: string;
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'openline-home-'));
  work = join(home, 'work');
  mkdirSync(join(home, '.config', 'openline'), { recursive: true });
  mkdirSync(join(work, '.openline', 'server'), { recursive: true });
  return () => rmSync(home, { recursive: true, force: true });
});

const io = (env: Record<string, string> = {}) => testIo({ home, cwd: work, env });
const config = (text: string) => writeFileSync(join(home, '.config', 'openline', 'config.yaml'), text);
const contexts = () =>
  config(
    'current-context: prod\ncontexts:\n- {name: prod, server: "prod:5724", token: prod-token}\n- {name: test, server: test, token: test-token}\n',
  );
const local = () =>
  writeFileSync(
    join(work, '.openline', 'server', 'client.json'),
    JSON.stringify({ server: 'localhost:5724', token: 'local-token' }),
  );

describe('the server is found by', () => {
  it('the client.json of a server on this machine, when nothing else is said', async () => {
    local();
    expect(await locate({}, io())).toMatchObject({ address: { text: 'localhost:5724' }, token: 'local-token' });
  });
  it('the current context, over that', async () => {
    local();
    contexts();
    expect(await locate({}, io())).toMatchObject({ address: { text: 'prod:5724' }, token: 'prod-token' });
  });
  it('OPENLINE_CONTEXT, over the current one; OPENLINE_SERVER over both; --context over these; --server over all', async () => {
    contexts();
    expect((await locate({}, io({ OPENLINE_CONTEXT: 'test' }))).address.text).toBe('test:5724');
    const env = { OPENLINE_CONTEXT: 'test', OPENLINE_SERVER: 'env:1', OPENLINE_TOKEN: 'env-token' };
    expect(await locate({}, io(env))).toMatchObject({
      address: { text: 'env:1' },
      token: 'env-token',
      tokenFrom: 'OPENLINE_TOKEN',
    });
    expect(await locate({ context: 'prod' }, io(env))).toMatchObject({
      address: { text: 'prod:5724' },
      token: 'prod-token',
    });
    expect((await locate({ context: 'prod', server: 'flag' }, io(env))).address.text).toBe('flag:5724');
  });
  it('nothing: and then it says what there is to do', async () => {
    await expect(locate({}, testIo({ home: '/nonexistent', cwd: '/nonexistent' }))).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });
});

describe('a stored token', () => {
  it('is never sent to another server than the one it is stored for', async () => {
    contexts();
    local();
    expect(await locate({ server: 'evil:5724' }, io())).toMatchObject({ token: undefined });
    expect(await locate({}, io({ OPENLINE_SERVER: 'evil' }))).toMatchObject({ token: undefined });
    expect(await locate({ server: 'test' }, io())).toMatchObject({ token: 'test-token' });
    expect(await locate({ server: 'localhost' }, io())).toMatchObject({ token: 'local-token' });
  });
});

describe('a CA', () => {
  it('that is no certificate is told apart from a server that is not trusted', async () => {
    writeFileSync(join(work, 'not.pem'), 'hello');
    await expect(locate({ server: 'test', ca: 'not.pem' }, io())).rejects.toThrow('not.pem holds no certificate');
  });
});

describe('a client.json', () => {
  it('that another user planted is passed over', async () => {
    local();
    const path = join(work, '.openline', 'server', 'client.json');
    const { uid } = statSync(path);
    const { found, passedOver } = await findLocalServer([path], uid === 0 ? 12_345 : uid + 1);
    if (uid === 0)
      expect(found?.path).toBe(path); // root's files count for everybody
    else expect([found, passedOver]).toEqual([undefined, [{ path, why: 'it belongs to another user' }]]);
  });
});

describe('the config file', () => {
  it('is written for its owner alone, and keeps what was not changed', async () => {
    contexts();
    await setContext('new', { server: 'new.example', token: '-' }, testIo({ home, cwd: work, stdin: ' secret \n' }));
    await useContext('new', io());
    const path = join(home, '.config', 'openline', 'config.yaml');
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await locate({}, io())).toMatchObject({ address: { text: 'new.example:5724' }, token: 'secret' });
    expect(readFileSync(path, 'utf8')).toContain('prod-token');
  });
  it('is not what an empty --token falls back to', async () => {
    contexts();
    await expect(locate({ token: '' }, io())).rejects.toThrow('--token is empty');
  });
  it('is not touched by a token that was to come and did not, as when the command before a pipe fails', async () => {
    contexts();
    await expect(
      setContext('new', { server: 'new.example', token: '-' }, testIo({ home, cwd: work, stdin: '\n' })),
    ).rejects.toThrow('standard input held no token');
    expect(readFileSync(join(home, '.config', 'openline', 'config.yaml'), 'utf8')).not.toContain('new');
  });
  it('loses a context with its token; none is current then, and another one is not hurt', async () => {
    contexts();
    await setContext('new', { server: 'new.example', token: 'secret' }, io());
    await useContext('new', io());
    await deleteContext('new', io());
    const path = join(home, '.config', 'openline', 'config.yaml');
    expect(readFileSync(path, 'utf8')).not.toContain('secret');
    const left = await readConfig(path);
    expect([left.currentContext, left.contexts.map(({ name }) => name)]).toEqual([undefined, ['prod', 'test']]);
    await expect(deleteContext('new', io())).rejects.toThrow('has no context new');
    await expect(useContext('prdo', io())).rejects.toThrow("has no context prdo; did you mean 'prod'?");
  });
  it.each([
    [{ contexts: [{ name: 'a', server: 's', tokn: 'SECRET' }] }, '`contexts[0].tokn` is not a key'],
    [{ contexts: [{ name: 'a' }] }, '`contexts[0].server` is missing'],
    [{ contexts: [{ name: 'a', server: 's', token: 7 }] }, '`contexts[0].token` is not text'],
    [{ contexts: 'SECRET' }, '`contexts` is not a list'],
    [
      {
        contexts: [
          { name: 'a', server: 's' },
          { name: 'a', server: 's' },
        ],
      },
      'names a twice',
    ],
  ])('names the key that is wrong, never its value', (raw, problem) => {
    expect(() => parseConfig(raw, 'c.yaml')).toThrow(problem);
    expect(() => parseConfig(raw, 'c.yaml')).not.toThrow('SECRET');
  });
});

describe('contexts that are imported', () => {
  const importing = (stdin: string) => importContexts('-', testIo({ home, cwd: work, stdin }));
  it('stand beside those there are; the one of the same name is replaced whole, and the current one is theirs', async () => {
    contexts();
    await importing('current-context: test\ncontexts:\n- {name: test, server: there:1, token: fresh, ca: PEM}\n');
    expect(await locate({}, io())).toMatchObject({ address: { text: 'there:1' }, token: 'fresh', ca: 'PEM' });
    expect(await locate({ context: 'prod' }, io())).toMatchObject({ token: 'prod-token' });
  });
  it.each([
    ['', 'has no contexts'],
    ['error [SERVER_UNREACHABLE] SECRET', 'is not a mapping'],
    ['contexts: [{name: a, server: s, token-file: /etc/shadow}]', 'the context a names files'],
  ])('change nothing when they are «%s»', async (stdin, problem) => {
    contexts();
    const path = join(home, '.config', 'openline', 'config.yaml');
    const before = readFileSync(path, 'utf8');
    await expect(importing(stdin)).rejects.toThrow(problem);
    await expect(importing(stdin)).rejects.not.toThrow('SECRET');
    expect(readFileSync(path, 'utf8')).toBe(before);
  });
});

describe('an address', () => {
  it.each([
    ['web', 'web', 5724],
    ['web:1', 'web', 1],
    ['[::1]:7', '::1', 7],
    ['[::1]', '::1', 5724],
    ['https://web:99/', 'web', 99],
  ])('%s', (text, host, port) => expect(parseAddress(text, 'test')).toMatchObject({ host, port }));
  it.each(['', 'a b', 'web:', 'web:0', 'web:70000', '::1', 'web/path'])('is not «%s»', (text) => {
    expect(() => parseAddress(text, '--server')).toThrow(/--server/);
  });
});
