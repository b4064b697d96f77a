import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcp, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTls } from 'node:tls';
import type { Probe, Runner } from '@openline/packs';
import type { ProbePlan } from '@openline/packs/engine';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { viewOf } from '../host/view.ts';
import { systemClock } from '../tasks/clock.ts';
import { isAlive, until } from '../tasks/testing/support.ts';
import { testAuthority } from '../testing/certificates.ts';
import { probeDns } from './probes/network.ts';
import { type ProbeContext, runProbe } from './run-probe.ts';

let dir: string;
const cleanups: (() => unknown)[] = [];
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'openline-probes-'));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
  rmSync(dir, { recursive: true });
});

const contextOf = (more: Partial<ProbeContext> = {}): ProbeContext => ({
  clock: systemClock,
  agentName: 'web-1',
  interpreters: { sh: '/bin/sh' },
  path: process.env['PATH'] ?? '',
  home: dir,
  view: viewOf('none', '', false),
  workRoot: join(dir, 'probes'),
  killGraceMs: 200,
  cookie: 'probe-of-test',
  allow: ['*/*'],
  ...more,
});

const planOf = (probe: Probe, settings: ProbePlan['settings'] = {}): ProbePlan => ({
  monitor: { pack: 'demo', version: '1.0.0', name: 'thing' },
  everyMs: 60_000,
  timeoutMs: 10_000,
  probe,
  settings,
});
const never = new AbortController().signal;
const probed = (probe: Probe, signal = never) => runProbe(contextOf(), planOf(probe), signal);
const sh = (source: string, output: 'json' | 'text' = 'json'): Probe => ({
  kind: 'run',
  runner: { kind: 'script', interpreter: 'sh', source } satisfies Runner,
  output,
});

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // Not waited for: what it never reads keeps a connection open.
  cleanups.push(() => void server.close());
  return (server.address() as AddressInfo).port;
}

describe('a probe that runs a script', () => {
  it('has what it printed as its sample; its settings come as a task’s parameters, and nothing of the agent’s environment', async () => {
    const script =
      'echo "{\\"warn\\": $OPENLINE_PARAM_WARN, \\"who\\": \\"$OPENLINE_MONITOR\\", \\"secret\\": \\"$SECRET\\"}"';
    process.env['SECRET'] = 'hush';
    cleanups.push(() => delete process.env['SECRET']);
    const result = await runProbe(contextOf(), planOf(sh(script), { warn: 80 }), never);
    expect(result).toEqual({ ok: true, sample: { warn: 80, who: 'demo/thing', secret: '' } });
    expect(readdirSync(join(dir, 'probes', 'demo'))).toEqual([]);
  });

  it('is a command, too, with a setting as one argument', async () => {
    const args = [
      { kind: 'literal', text: '%s' },
      { kind: 'parameter', name: 'text' },
    ] as const;
    const probe: Probe = { kind: 'run', runner: { kind: 'command', program: 'printf', args }, output: 'text' };
    expect(await runProbe(contextOf(), planOf(probe, { text: 'a; b' }), never)).toEqual({
      ok: true,
      sample: { exit_code: 0, stdout: 'a; b', stderr: '' },
    });
  });

  it('does not work when it fails, prints no JSON, prints too much, or when its interpreter is not there', async () => {
    expect(await probed(sh('echo broken >&2; exit 3'))).toMatchObject({
      ok: false,
      error: expect.stringContaining('3: broken'),
    });
    expect(await probed(sh('echo hello'))).toMatchObject({ ok: false });
    expect(await probed(sh('head -c 400000 /dev/zero | tr "\\0" x'))).toMatchObject({
      ok: false,
      error: 'it printed more than 262144 bytes',
    });
    const python: Probe = {
      kind: 'run',
      runner: { kind: 'script', interpreter: 'python3', source: '' },
      output: 'json',
    };
    expect(await probed(python)).toEqual({ ok: false, error: 'this machine has no python3' });
  });

  it('is ended with its whole process group when its time is over', async () => {
    const abort = new AbortController();
    const running = probed(
      sh(`sleep 60 & echo $! > ${dir}/child; echo $$ > ${dir}/pid; trap "" TERM; sleep 60; sleep 60`),
      abort.signal,
    );
    const pidIn = (name: string) => Number(readFileSync(join(dir, name), 'utf8'));
    await until(() => readdirSync(dir).includes('pid') && pidIn('pid') > 0);
    abort.abort();
    expect(await running).toEqual({ ok: false, error: 'it did not end within 10 s' });
    expect([isAlive(pidIn('pid')), isAlive(pidIn('child'))]).toEqual([false, false]);
  });

  it('starts nothing where the agent’s own configuration does not allow it', async () => {
    const context = contextOf({ allow: ['linux/*', 'demo/other'] });
    expect(await runProbe(context, planOf(sh(`touch ${dir}/started`)), never)).toEqual({
      ok: false,
      error: 'monitors.allow of this agent does not let demo/thing start a process',
    });
    expect(readdirSync(dir)).toEqual([]);
  });
});

describe('a probe over HTTP', () => {
  const http = (url: string, pattern?: string, more: Partial<Extract<Probe, { kind: 'http' }>> = {}): Probe => ({
    kind: 'http',
    url,
    method: 'GET',
    pattern,
    verifyTls: true,
    ...more,
  });

  it('finds the status, and whether the body is as it should be', async () => {
    const port = await listening(
      createServer((request, response) => {
        response.writeHead(request.url === '/gone' ? 410 : 200);
        response.end('all is well');
      }),
    );
    const at = `http://127.0.0.1:${port}`;
    expect(await probed(http(at))).toMatchObject({ ok: true, sample: { ok: true, status: 200, error: '' } });
    expect(await probed(http(at, 'is (well|fine)'))).toMatchObject({ sample: { ok: true, body_matches: true } });
    expect(await probed(http(at, 'on fire'))).toMatchObject({
      sample: { ok: false, status: 200, body_matches: false },
    });
    expect(await probed(http(`${at}/gone`))).toMatchObject({
      sample: { ok: false, status: 410, error: 'it answers 410' },
    });
    expect(await probed(http(at, undefined, { method: 'HEAD' }))).toMatchObject({ sample: { ok: true, status: 200 } });
  });

  it('finds why there is no answer', async () => {
    expect(await probed(http('http://127.0.0.1:1'))).toMatchObject({
      sample: { ok: false, status: 0, error: /ECONNREFUSED/ },
    });
    expect(await probed(http('ftp://x'))).toMatchObject({
      sample: { ok: false, error: 'ftp: is neither http nor https' },
    });
    const silent = await listening(createTcp(() => undefined));
    const abort = new AbortController();
    const waiting = probed(http(`http://127.0.0.1:${silent}`), abort.signal);
    setTimeout(() => abort.abort(), 30);
    expect(await waiting).toMatchObject({ sample: { ok: false, error: 'it did not answer in time' } });
  });

  it('trusts no certificate that it cannot verify, unless it is told to', async () => {
    const authority = await testAuthority();
    const { keyPem, certificatePem } = await authority.serverIdentity();
    const port = await listening(
      createTls({ key: keyPem, cert: certificatePem }, (socket) =>
        socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'),
      ),
    );
    const at = `https://localhost:${port}`;
    expect(await probed(http(at))).toMatchObject({ sample: { ok: false, status: 0 } });
    expect(await probed(http(at, undefined, { verifyTls: false }))).toMatchObject({
      sample: { ok: true, status: 200 },
    });
  });
});

describe('a probe of', () => {
  it('a port finds whether somebody listens', async () => {
    const port = await listening(createTcp((socket) => socket.end()));
    expect(await probed({ kind: 'tcp', host: '127.0.0.1', port })).toMatchObject({
      ok: true,
      sample: { ok: true, error: '' },
    });
    expect(await probed({ kind: 'tcp', host: '127.0.0.1', port: 1 })).toMatchObject({
      sample: { ok: false, error: /ECONNREFUSED/ },
    });
  });

  it('a name finds its addresses, or that nobody answers', async () => {
    const socket = createSocket('udp4');
    socket.on('message', (query, from) => {
      // The question again, and 192.0.2.7 for it.
      const answer = Buffer.concat([
        query.subarray(0, 12),
        query.subarray(12).subarray(0, query.indexOf(0, 12) - 12 + 5),
      ]);
      answer.writeUInt16BE(0x8180, 2);
      answer.writeUInt16BE(1, 6);
      answer.writeUInt16BE(0, 10);
      const record = Buffer.from('c00c0001000100000001000400000000', 'hex');
      Buffer.from([192, 0, 2, 7]).copy(record, 12);
      socket.send(Buffer.concat([answer, record]), from.port, from.address);
    });
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    cleanups.push(() => socket.close());
    const servers = [`127.0.0.1:${socket.address().port}`];
    const probe = { kind: 'dns', host: 'db.example', type: 'A' } as const;
    expect(await probeDns(probe, never, servers)).toMatchObject({ ok: true, answers: ['192.0.2.7'], error: '' });
    const abort = new AbortController();
    const waiting = probeDns(probe, abort.signal, ['127.0.0.1:1']);
    abort.abort();
    expect(await waiting).toMatchObject({ ok: false, answers: [], error: 'it did not answer in time' });
  });

  it.runIf(process.platform === 'linux')('processes finds them by name and by command line', async () => {
    const child = spawn('sleep', ['61.25']);
    await once(child, 'spawn');
    cleanups.push(() => child.kill('SIGKILL'));
    const one = { ok: true, sample: { count: 1, pids: [child.pid] } };
    await until(() => readFileSync(`/proc/${child.pid}/comm`, 'utf8') === 'sleep\n');
    expect(await probed({ kind: 'process', name: 'sleep', pattern: '61\\.25$' })).toEqual(one);
    expect(await probed({ kind: 'process', name: undefined, pattern: '^sleep 61[.]25$' })).toEqual(one);
    expect(await probed({ kind: 'process', name: 'sleep', pattern: 'nothing' })).toEqual({
      ok: true,
      sample: { count: 0, pids: [] },
    });
    await expect(probed({ kind: 'process', name: undefined, pattern: '(' })).rejects.toThrow();
  });

  it('certificates finds how long those of files and of a server last', async () => {
    const authority = await testAuthority();
    const { keyPem, certificatePem } = await authority.serverIdentity();
    writeFileSync(join(dir, 'a.pem'), certificatePem);
    writeFileSync(join(dir, 'b.pem'), 'not one');
    const files = (...patterns: string[]): Probe => ({ kind: 'certificate', of: { files: patterns } });
    const found = await probed(files(join(dir, 'a.pem')));
    expect(found).toMatchObject({ ok: true, sample: { ok: true, of: join(dir, 'a.pem'), error: '' } });
    const both = await probed(files(join(dir, '*.pem'), join(dir, 'missing.pem'), join(dir, 'x*.pem')));
    if (!both.ok || !Array.isArray(both.sample)) throw new Error('no list');
    expect(both.sample.map(({ of, ok }) => [of.slice(dir.length + 1), ok]).sort()).toEqual([
      ['a.pem', true],
      ['b.pem', false],
      ['missing.pem', false],
    ]);
    const port = await listening(createTls({ key: keyPem, cert: certificatePem }, (socket) => socket.end()));
    const shown = await probed({ kind: 'certificate', of: { host: 'localhost', port } });
    const expires = execFileSync('openssl', ['x509', '-noout', '-enddate', '-in', join(dir, 'a.pem')], {
      encoding: 'utf8',
    });
    expect(shown).toMatchObject({
      sample: {
        ok: true,
        of: `localhost:${port}`,
        not_after: new Date(expires.replace('notAfter=', '')).toISOString(),
      },
    });
    expect(await probed({ kind: 'certificate', of: { host: '127.0.0.1', port: 1 } })).toMatchObject({
      sample: { ok: false },
    });
  });
});
