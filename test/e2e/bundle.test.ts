import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { cleanup, scratchDir } from '../harness/index.ts';
import { AGENT, OPENLINE } from '../harness/paths.ts';

afterAll(cleanup);
const dir = scratchDir('bundle');

function node(script: string, ...args: string[]) {
  const env = { PATH: process.env['PATH'], HOME: dir, XDG_CONFIG_HOME: dir };
  return spawnSync(process.execPath, [script, ...args], { cwd: dir, env, encoding: 'utf8', timeout: 30_000 });
}

// What is imported only when it is needed can be missing from a bundle without anybody noticing before that.
describe('what is bundled', () => {
  it('writes YAML: a context', () => {
    expect(node(OPENLINE, 'context', 'set', 'prod', '--server', 'openline.example').stderr).not.toContain('[INTERNAL]');
    expect(readFileSync(join(dir, 'openline', 'config.yaml'), 'utf8')).toContain('server: openline.example');
  });

  it('writes YAML: an answer', () => {
    expect(node(OPENLINE, 'version', '-o', 'yaml').stdout).toMatch(/^version: /m);
  });

  it('is ASCII: of other source V8 keeps two bytes for each character in the memory of an agent', () => {
    expect(readFileSync(AGENT, 'utf8')).not.toMatch(/[\u0080-\uffff]/);
  });

  it('leaves out the server of grpc-js and whatever makes V8 load time zones at each start, as an agent needs neither', () => {
    const source = readFileSync(AGENT, 'utf8');
    expect(source).toContain('createLoadBalancingCall');
    expect(source).not.toContain('bindAsync');
    expect(source).not.toContain('.setMilliseconds(');
  });

  it('leaves out what Node brings with WebSocket and fetch, which is some MiB in the memory of an agent', () => {
    const told = `data:text/javascript,process.on('exit', () => console.error(process.moduleLoadList.join()))`;
    const loaded = node('--import', told, AGENT, '--help').stderr;
    expect(loaded).toContain('NativeModule http2');
    expect(loaded).not.toContain('undici');
  });

  it.each([
    ['openline agent', OPENLINE, ['agent']],
    ['agent.mjs', AGENT, []],
  ])('reads YAML: the configuration of %s', (_, script, first) => {
    const file = join(dir, 'agent.yaml');
    writeFileSync(file, 'tasks: { alow: "*/*" }\n');
    expect(node(script, ...first, '--config', file).stderr).toContain('tasks.alow');
  });
});
