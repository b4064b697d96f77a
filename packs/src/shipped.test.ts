import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { PackTask } from './pack.ts';
import { compileParameters } from './parameters.ts';
import { parsePack } from './parse.ts';
import { runTask } from './testing/run-task.ts';

const onLinux = process.platform === 'linux';

function shipped(name: string) {
  return parsePack(readFileSync(new URL(`../shipped/${name}.yaml`, import.meta.url)), `${name}.yaml`);
}

const packs = { utility: shipped('utility'), linux: shipped('linux') };

function task(pack: keyof typeof packs, name: string) {
  const found = packs[pack].tasks.get(name);
  if (found === undefined) throw new Error(`no task ${pack}/${name}`);
  return found;
}

describe('the shipped packs', () => {
  it('say for every task what it does, and show how to use it', () => {
    for (const pack of Object.values(packs)) {
      for (const { name, description, parametersSchema, runner, examples } of pack.tasks.values()) {
        expect(description, name).not.toBe('');
        expect(JSON.stringify(parametersSchema).match(/"description"/g)?.length ?? 0, name).toBeGreaterThanOrEqual(
          Object.keys(parametersSchema['properties'] ?? {}).length,
        );
        if (runner.kind !== 'builtin') expect(examples.length, name).toBeGreaterThan(0);
      }
    }
  });

  it('say of what only looks that it reads, and of the rest that it changes something', () => {
    const notRead = Object.values(packs).flatMap((pack) => [...pack.tasks.values()].filter((t) => t.risk !== 'read'));
    expect(notRead.map((t) => `${t.name}: ${t.risk}`)).toEqual([
      'shell: dangerous',
      'process-signal: change',
      'service-restart: change',
    ]);
  });

  it('have scripts that stop at the first failure', () => {
    for (const { name, runner } of [...packs.utility.tasks.values(), ...packs.linux.tasks.values()]) {
      if (runner.kind === 'script') expect(runner.source, name).toMatch(/^set -eu\n/);
    }
  });
});

describe('docs/kubernetes.md', () => {
  const docs = readFileSync(new URL('../../docs/kubernetes.md', import.meta.url), 'utf8');
  const rows =
    docs
      .match(/^\| the tasks of `linux`[\s\S]*?\n\n/m)?.[0]
      .split('\n')
      .slice(2) ?? [];
  const namesIn = (row: string) => [...(row.split('|')[1] ?? '').matchAll(/`([a-z-]+)`/g)].map((match) => match[1]);

  it('says of every task what it sees of a node, once', () => {
    expect(rows.flatMap(namesIn).sort()).toEqual([...packs.linux.tasks.keys()].sort());
  });

  it('names those that refuse to work where the host may only be read', () => {
    const refusing = [...packs.linux.tasks.values()].filter(
      ({ runner }) => runner.kind === 'script' && runner.source.includes('takes hostAccess: full; this agent has read'),
    );
    const documented = rows.filter((row) => row.includes('they take `full`')).flatMap(namesIn);
    expect(refusing.map(({ name }) => name).sort()).toEqual(documented.sort());
  });
});

/**
 * What each task of `linux` may end with on any machine, by its examples: 0 done, 1 a check that does not hold here, 2 no such thing, 3 a
 * program that this machine lacks. Anything else is a mistake in the script.
 */
const MAY_END_WITH: Readonly<Record<string, readonly number[]>> = {
  load: [0, 1],
  'tcp-check': [0, 1],
  'http-check': [0, 1, 3],
  'certificate-expiry': [0, 1, 3],
  'certificate-file': [0, 1, 2, 3],
  'service-status': [0, 1, 2],
  'service-restart': [2],
  'process-signal': [2],
  'failed-units': [0, 1, 3],
  'recent-logs': [0, 3],
  'kernel-log': [0, 3],
  'log-file': [0, 2, 3],
  'package-version': [0, 1, 3],
  'packages-upgradable': [0, 3],
  'time-sync': [0, 1, 3],
  'ping-host': [0, 1, 3],
};

describe.runIf(onLinux)('every example of the linux pack', () => {
  for (const linuxTask of packs.linux.tasks.values()) {
    for (const [i, example] of linuxTask.examples.entries()) {
      it.concurrent(`${linuxTask.name}, example ${i + 1}, runs and ends as it should`, {
        timeout: 60_000,
      }, async () => {
        const { exitCode, stdout, stderr } = await runTask(linuxTask, example.parameters, 55_000);
        expect(MAY_END_WITH[linuxTask.name] ?? [0], stderr).toContain(exitCode);
        if (exitCode === 0) expect(stdout.trim()).not.toBe('');
        else expect(`${stdout}${stderr}`.trim()).not.toBe('');
        expect(stderr).not.toMatch(/: line \d+:|command not found|unbound variable|syntax error/);
      });
    }
  }
});

/** Made with the first test that needs it: a run without those leaves nothing behind. */
function scratchDir(name: string): string {
  const dir = join(tmpdir(), `openline-${name}-${randomUUID()}`);
  beforeAll(() => {
    mkdirSync(dir);
    return () => rmSync(dir, { recursive: true, force: true });
  });
  return dir;
}

describe.runIf(onLinux)('a hostile parameter', () => {
  const dir = scratchDir('hostile');
  // Each gets out of one way to quote it: none or ", then ', then ".
  const escapes = (marker: string) => [
    `x$(touch ${marker});touch ${marker}`,
    `x';touch ${marker};'`,
    `x";touch ${marker};"`,
  ];
  const forms = (text: string) => [text, `/${text}`, `/var/log/${text}`, `http://127.0.0.1:1/${text}`];

  const all = [...packs.utility.tasks.values(), ...packs.linux.tasks.values()];
  for (const target of all.filter(({ name, runner }) => name !== 'shell' && runner.kind !== 'builtin')) {
    for (const parameter of Object.keys(target.parametersSchema['properties'] ?? {})) {
      const marker = join(dir, `${target.name}.${parameter}`);
      const given = escapes(marker).flatMap((text) => {
        const values = forms(text)
          .flatMap((form) => [form, [form]])
          .map((form) => ({ ...target.examples[0]?.parameters, [parameter]: form }));
        return values.find((candidate) => accepts(target, candidate)) ?? [];
      });
      if (given.length === 0) continue;
      it.concurrent(`in ${parameter} of ${target.name} is only text`, { timeout: 60_000 }, async () => {
        for (const values of given) await runTask(target, values, 8000);
        expect(existsSync(marker)).toBe(false);
      });
    }
  }
});

function accepts(target: PackTask, values: unknown): boolean {
  try {
    compileParameters(target)(values);
    return true;
  } catch {
    return false;
  }
}

describe.runIf(onLinux)('the utility pack', () => {
  it('echoes what a shell would have expanded', async () => {
    const text = ['$(id)', '`id`', "it's", '"', 'a\nb', '*', '-n', '%s', '\\n'];
    const { stdout } = await runTask(task('utility', 'echo'), { text });
    expect(stdout).toBe(`${text.join('\n')}\n`);
  });

  it('sleeps for the time that was asked, and tells its progress', async () => {
    const startedMs = performance.now();
    const { exitCode, stdout } = await runTask(task('utility', 'sleep'), { seconds: 1, steps: 3 });
    expect(exitCode).toBe(0);
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(1000);
    expect(stdout.match(/^::progress .*/gm)).toEqual([
      '::progress 33% step 1 of 3',
      '::progress 66% step 2 of 3',
      '::progress 100% step 3 of 3',
    ]);
  });

  it('fails with the code that was asked', async () => {
    const ended = await runTask(task('utility', 'fail'), { 'exit-code': 28, message: 'no "space"' });
    expect(ended).toEqual({ exitCode: 28, stdout: '', stderr: 'no "space"\n' });
  });

  it('prints as many lines as were asked, on the stream that was asked', async () => {
    const many = await runTask(task('utility', 'print-lines'), { lines: 20_000, length: 3 });
    expect(many.stdout.split('\n').length - 1).toBe(20_000);
    expect(many.stdout.slice(0, 12)).toBe('1 abc\n2 abc\n');
    const paced = await runTask(task('utility', 'print-lines'), { lines: 4, 'per-second': 10, stream: 'stderr' });
    expect(paced.stderr.split('\n').length - 1).toBe(4);
  });

  it('runs a script of any size, and keeps it out of the process table', async () => {
    const small = await runTask(task('utility', 'shell'), { script: 'tr "\\0" " " < /proc/$$/cmdline; pwd; exit 7' });
    expect(small).toMatchObject({ exitCode: 7, stdout: expect.stringMatching(/^bash -- \/dev\/fd\/\d+ \/\n$/) });
    const script = `${'# padding\n'.repeat(20_000)}echo "it's large"\n`;
    const large = await runTask(task('utility', 'shell'), { script, directory: '/tmp' });
    expect(large).toEqual({ exitCode: 0, stdout: "it's large\n", stderr: '' });
  });
});

describe.runIf(onLinux)('the checks of the linux pack', () => {
  const dir = scratchDir('checks');
  const key = join(dir, 'key.pem');
  const certificate = join(dir, 'it is a certificate.pem');
  const plainServer = createHttpServer((request, response) => {
    response.writeHead(request.url === '/missing' ? 404 : 200).end('all is "well"');
  });
  let port = 0;

  beforeAll(async () => {
    plainServer.listen(0, '127.0.0.1');
    await once(plainServer, 'listening');
    port = (plainServer.address() as AddressInfo).port;
    // A certificate of two days, so that "fewer than 14 are left" is true of it.
    const subject = ['-subj', '/CN=check.test', '-addext', 'subjectAltName=DNS:check.test'];
    const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    execFileSync('openssl', [...made, '-keyout', key, '-out', certificate, ...subject], { stdio: 'ignore' });
  });
  afterAll(() => void plainServer.close());

  it('tell an open port from a closed one', async () => {
    const open = await runTask(task('linux', 'tcp-check'), { host: '127.0.0.1', port });
    expect(open).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/: connected in \d+ ms\n$/) });
    const closing = createServer().listen(0, '127.0.0.1');
    await once(closing, 'listening');
    const closedPort = (closing.address() as AddressInfo).port;
    closing.close();
    const closed = await runTask(task('linux', 'tcp-check'), { host: '127.0.0.1', port: closedPort });
    expect(closed).toMatchObject({ exitCode: 1, stderr: `127.0.0.1 port ${closedPort}: Connection refused\n` });
  });

  it('find who listens on a port, however many connections there are', { timeout: 20_000 }, async () => {
    const listener = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const many = (listener.address() as AddressInfo).port;
    const sockets = Array.from({ length: 1_500 }, () => connect(many, '127.0.0.1').on('error', () => {}));
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    const { stdout } = await runTask(task('linux', 'listening-ports'), {});
    for (const socket of sockets) socket.destroy();
    listener.close();
    for (const each of [port, many])
      expect(stdout).toMatch(new RegExp(`^tcp +127\\.0\\.0\\.1:${each} .*\\(${process.pid}\\)$`, 'm'));
    expect(stdout.split('\n').filter((line) => line.includes(`:${many} `))).toHaveLength(1);
  });

  it('look at status and text of an HTTP answer', async () => {
    const check = (path: string, more: object = {}) =>
      runTask(task('linux', 'http-check'), { url: `http://127.0.0.1:${port}${path}`, ...more });
    expect((await check('/', { contains: 'all is "well"' })).exitCode).toBe(0);
    expect(await check('/', { contains: 'trouble' })).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/text/),
    });
    expect((await check('/missing')).exitCode).toBe(1);
    expect((await check('/missing', { 'expect-status': 404 })).exitCode).toBe(0);
  });

  it('count the days of a certificate, from a server and from a file', async () => {
    const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(certificate) });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const at = { host: '127.0.0.1', port: (server.address() as AddressInfo).port, 'server-name': 'check.test' };
    const soon = await runTask(task('linux', 'certificate-expiry'), at);
    expect(soon).toMatchObject({
      exitCode: 1,
      stdout: expect.stringMatching(/DNS:check\.test[\s\S]*\n[12] days left\n$/),
    });
    expect((await runTask(task('linux', 'certificate-expiry'), { ...at, 'warn-days': 1 })).exitCode).toBe(0);
    server.close();
    expect((await runTask(task('linux', 'certificate-file'), { path: certificate })).exitCode).toBe(1);
    expect((await runTask(task('linux', 'certificate-file'), { path: certificate, 'warn-days': 0 })).exitCode).toBe(0);
    expect((await runTask(task('linux', 'certificate-file'), { path: key })).exitCode).toBe(2);
  });

  it('find the process that uses a file', async () => {
    const file = join(dir, 'in use');
    writeFileSync(file, '');
    const descriptor = openSync(file, 'r');
    const { stdout } = await runTask(task('linux', 'who-uses-file'), { path: file });
    expect(stdout).toMatch(new RegExp(`^${process.pid} .* fd:${descriptor}$`, 'm'));
  });

  it('name each address of a host whose network they are not in once, however many interfaces have it', async () => {
    const root = mkdtempSync(join(tmpdir(), 'openline-net-'));
    onTestFinished(() => rmSync(root, { recursive: true }));
    mkdirSync(join(root, 'sys/class/net'), { recursive: true });
    mkdirSync(join(root, 'proc/1/net'), { recursive: true });
    const leaf = (address: string, ...kinds: string[]) => [`|-- ${address}`, ...kinds.map((kind) => `   ${kind}`)];
    const twice = leaf('10.244.1.1', '/32 host LOCAL', '/32 host LOCAL');
    const trie = [
      'Main:',
      '+-- 0.0.0.0/0 3 0 5',
      ...twice,
      ...leaf('10.244.1.5', '/32 host UNICAST'),
      ...leaf('10.0.0.7', '/32 host LOCAL'),
    ];
    writeFileSync(join(root, 'proc/1/net/fib_trie'), `${[...trie, 'Local:', ...twice].join('\n')}\n`);
    writeFileSync(join(root, 'proc/1/net/route'), '');
    const host = { OPENLINE_HOST_ROOT: root, OPENLINE_HOST_PROC: join(root, 'proc') };
    const { stdout } = await runTask(task('linux', 'network-interfaces'), {}, 30_000, host);
    expect(stdout.trim().split('\n').slice(-2)).toEqual(['10.244.1.1', '10.0.0.7']);
  });

  it('find a process by its name, and signal only the one that has it', async () => {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    await once(child, 'spawn');
    const status = await runTask(task('linux', 'process-status'), { name: 'sleep 60', match: 'command-line' });
    expect(status).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(new RegExp(`^ +${child.pid} `, 'm')) });
    const wrong = await runTask(task('linux', 'process-signal'), { pid: child.pid, name: 'nginx' });
    expect(wrong).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/is sleep, not nginx; nothing was sent/),
    });
    const right = await runTask(task('linux', 'process-signal'), { pid: child.pid, name: 'sleep' });
    expect(right.exitCode).toBe(0);
    expect((await runTask(task('linux', 'process-status'), { name: 'no-such-program' })).exitCode).toBe(1);
  });

  it('list the file systems of disks and of the network, and all of them where they are asked to', async () => {
    const bin = join(dir, 'bin');
    mkdirSync(bin);
    // What df says of a node with containers: it ends badly, as there are mounts that it may not look into.
    const rows = [
      ['Filesystem', 'Type', 'Size', 'Used', 'Available', 'Capacity', 'Mounted on'],
      ['/dev/vda1', 'ext4', '99G', '50G', '49G', '51%', '/'],
      ['tmpfs', 'tmpfs', '16G', '1M', '16G', '1%', '/dev/shm'],
      ['overlay', 'overlay', '99G', '50G', '49G', '51%', '/run/containerd/task/k8s.io/4f1/rootfs'],
      ['shm', 'tmpfs', '64M', '0', '64M', '0%', '/run/containerd/sandboxes/4f1/shm'],
      ['tmpfs', 'tmpfs', '31G', '12K', '31G', '1%', '/var/lib/kubelet/pods/5a/volumes/kubernetes.io~projected/token'],
      ['nas:/data', 'nfs4', '9T', '5T', '4T', '60%', '/srv/data'],
    ];
    const text = rows.map((row) => row.join(' ')).join('\n');
    writeFileSync(join(bin, 'df'), `#!/bin/sh\ncat <<'END'\n${text}\nEND\nexit 1\n`, { mode: 0o755 });
    const path = { PATH: `${bin}:/usr/bin:/bin` };
    const mounts = async (parameters: object, env: Record<string, string> = path) => {
      const { stdout, exitCode } = await runTask(task('linux', 'disk-usage'), parameters, 30_000, env);
      const [, ...lines] = stdout.trimEnd().split('\n');
      return { exitCode, of: lines.map((line) => line.split(' ').at(-1)) };
    };
    expect(await mounts({})).toEqual({ exitCode: 0, of: ['/', '/srv/data'] });
    expect((await mounts({ all: true })).of).toHaveLength(6);
    // A container's own root is all that there is to say.
    writeFileSync(join(bin, 'df'), `#!/bin/sh\necho "${rows[0]?.join(' ')}"; echo "overlay overlay 9G 5G 4G 55% /"\n`);
    expect((await mounts({})).of).toEqual(['/']);

    // Of a host that is seen below a directory, it is the mounts of its init that say which.
    const proc = join(dir, 'proc', '1');
    mkdirSync(proc, { recursive: true });
    const devices = rows.slice(1).map(([device, type, , , , , mount]) => `${device} ${mount} ${type} rw 0 0`);
    writeFileSync(join(proc, 'mounts'), [...devices, '/dev/vda1 /var/lib/kubelet ext4 rw 0 0', ''].join('\n'));
    writeFileSync(
      join(bin, 'df'),
      '#!/bin/sh\necho title; while [ "$1" != -- ]; do shift; done; shift; printf "x x 1 %s\\n" "$@"\n',
    );
    const host = { ...path, OPENLINE_HOST_ROOT: '/host', OPENLINE_HOST_PROC: join(dir, 'proc') };
    expect((await mounts({}, host)).of).toEqual(['/', '/srv/data']);
    expect((await mounts({ all: true }, host)).of).toHaveLength(6);
  });

  it('fail above a limit, and name what is above it', async () => {
    const full = await runTask(task('linux', 'disk-usage'), { path: '/', 'fail-above': 1 });
    expect(full).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/is \d+% full, above 1%\n$/) });
    expect((await runTask(task('linux', 'memory-usage'), { 'fail-above': 1 })).exitCode).toBe(1);
    expect((await runTask(task('linux', 'disk-usage'), { path: '/no/such/place' })).exitCode).toBe(2);
  });

  it('do not leave /var/log by ".."', async () => {
    const { exitCode, stdout } = await runTask(task('linux', 'log-file'), { path: '/var/log/../../etc/passwd' });
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: '' });
  });
});
