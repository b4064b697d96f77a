import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DispatchState, OutputKind } from '@openline/proto/operator';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type FakeServer, startFakeServer } from './testing/fake-server.ts';
import { dispatchMessage } from './testing/messages.ts';
import { openline } from './testing/process.ts';

const { DISPATCH_STATE_FAILED, DISPATCH_STATE_RUNNING, DISPATCH_STATE_SUCCEEDED } = DispatchState;

let server: FakeServer;
let env: Record<string, string>;
let dir: string;

beforeAll(async () => {
  server = await startFakeServer();
  dir = mkdtempSync(join(tmpdir(), 'openline-cli-ca-'));
  writeFileSync(join(dir, 'ca.pem'), server.tls.caPem);
  env = { OPENLINE_SERVER: server.address, OPENLINE_TOKEN: server.token, OPENLINE_CA: join(dir, 'ca.pem') };
});
afterAll(async () => {
  rmSync(dir, { recursive: true, force: true });
  await server.stop();
});
beforeEach(() => {
  server.runs.targets = ['web-1', 'web-2'];
  server.runs.onSubmit = () => {};
});

const succeed = (...names: string[]) => {
  server.runs.onSubmit = (runId) => {
    for (const name of names) server.runs.set(runId, dispatchMessage(name, DISPATCH_STATE_SUCCEEDED));
  };
};

describe('openline run, without a terminal', () => {
  it('ends with 0 when every target succeeded; the table is on stdout, the progress on stderr, and nothing is coloured', async () => {
    succeed('web-1', 'web-2');
    const { code, stdout, stderr } = await openline(['run', 'linux/uptime', '--on', 'all'], env).end;
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^AGENT +STATE +DURATION +EXIT +NOTE\nweb-1 +succeeded +1\.2s +0/);
    expect(stdout).toMatch(/\n\nlinux\/uptime on 2 targets: 2 succeeded in \S+\nrun \S+\n$/);
    expect(stderr).toContain('web-1: succeeded, after 1.2s');
    expect(stdout + stderr).not.toContain('\x1b');
  });

  it('ends with 1 when any target did not, and says why for each', async () => {
    server.runs.onSubmit = (runId) => {
      server.runs.set(runId, dispatchMessage('web-1', DISPATCH_STATE_SUCCEEDED));
      server.runs.set(
        runId,
        dispatchMessage('web-2', DISPATCH_STATE_FAILED, {
          exitCode: 3,
          reasonCode: 'TASK_EXIT_CODE',
          reason: 'exit code 3',
        }),
      );
    };
    const { code, stdout } = await openline(['run', 'linux/uptime', '--on', 'all'], env).end;
    expect(code).toBe(1);
    expect(stdout).toMatch(/web-2 +failed +1\.2s +3 +TASK_EXIT_CODE: exit code 3/);
  });

  it('shows the output of a single target without being asked, its stderr on stderr', async () => {
    server.runs.targets = ['web-1'];
    server.runs.onSubmit = (runId) => {
      server.runs.write(runId, 'web-1', 'up 3 days\n');
      server.runs.write(runId, 'web-1', 'a warning\n', OutputKind.OUTPUT_KIND_STDERR);
      server.runs.set(runId, dispatchMessage('web-1', DISPATCH_STATE_SUCCEEDED, { outputBytes: 20n }));
    };
    const { code, stdout, stderr } = await openline(['run', 'linux/uptime', '--on', 'name=web-1'], env).end;
    expect(code).toBe(0);
    expect(stdout).toMatch(/\n\nup 3 days\n$/);
    expect(stderr).toContain('a warning\n');
  });

  it('streams lines behind their agent’s name with --follow, and keeps stdout for them alone', async () => {
    server.runs.onSubmit = (runId) => {
      server.runs.write(runId, 'web-1', 'one\ntw');
      server.runs.write(runId, 'web-2', 'other\n');
      server.runs.write(runId, 'web-1', 'o\n', OutputKind.OUTPUT_KIND_STDOUT, 1234n);
      for (const name of ['web-1', 'web-2']) server.runs.set(runId, dispatchMessage(name, DISPATCH_STATE_SUCCEEDED));
    };
    const { code, stdout, stderr } = await openline(['run', 'linux/uptime', '--on', 'all', '--follow'], env).end;
    expect(code).toBe(0);
    expect(stdout).toBe('web-1 | one\nweb-2 | other\nweb-1 | two\n');
    expect(stderr).toContain('the output of web-1 was cut here: 1,234 bytes (1.2 KiB) more were not kept');
  });

  it('types parameters by the schema of the task, and sends a key of its own so that a lost answer makes no second run', async () => {
    succeed('web-1', 'web-2');
    await openline(
      ['run', 'linux/uptime', '--on', 'all', '--param', 'count=5', '-p', 'path=$(id) "x" = y', '--ttl', '1h'],
      env,
    ).end;
    const sent = server.runs.submitted.at(-1);
    expect(JSON.parse(sent?.spec?.parametersJson ?? '')).toEqual({ count: 5, path: '$(id) "x" = y' });
    expect(sent?.spec).toMatchObject({ targets: 'all', ttlMs: 3_600_000n, offline: 2 });
    expect(sent?.idempotencyKey).toMatch(/^cli-/);
  });

  it('prints only the id with --detach', async () => {
    const { code, stdout, stderr } = await openline(['run', 'linux/uptime', '--on', 'all', '--detach'], env).end;
    expect(code).toBe(0);
    expect(stdout).toMatch(/^run-\d+\n$/);
    expect(stderr).toContain(`openline runs watch ${stdout.trim()}`);
  });

  it('writes one JSON document with -o json, and a line per change with -o jsonl', async () => {
    succeed('web-1', 'web-2');
    const json = await openline(['run', 'linux/uptime', '--on', 'all', '-o', 'json'], env).end;
    const document = JSON.parse(json.stdout);
    expect(document).toMatchObject({ task: 'linux/uptime', outcome: 'succeeded', counts: { succeeded: 2 } });
    expect(document.dispatches[0]).toMatchObject({ agent: 'web-1', state: 'succeeded', exitCode: 0, durationMs: 1200 });
    const jsonl = await openline(['run', 'linux/uptime', '--on', 'all', '-o', 'jsonl'], env).end;
    const lines = jsonl.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(
      lines
        .filter((line) => line.state === 'succeeded')
        .map((line) => line.agent)
        .sort(),
    ).toEqual(['web-1', 'web-2']);
  });

  it('shows who would run it with --dry-run, and submits nothing', async () => {
    const before = server.runs.submitted.length;
    const { code, stdout } = await openline(['run', 'linux/uptime', '--on', 'all', '--dry-run'], env).end;
    expect(code).toBe(0);
    expect(stdout).toMatch(/web-2 +no +yes +reject +AGENT_OFFLINE: the agent is not connected/);
    expect(stdout).toContain('1 would run it, 1 would be rejected. Nothing was run.');
    expect(server.runs.submitted.length).toBe(before);
    const args = ['run', 'linux/uptime', '--on', 'all', '--dry-run', '--param-from', 'path=label:data-dir'];
    expect((await openline(args, env).end).stdout).toMatch(/web-1 +yes +yes +run +path=path of web-1/);
  });

  it('does not run a dangerous task that nobody confirmed', async () => {
    const before = server.runs.submitted.length;
    const { code, stderr } = await openline(['run', 'linux/reboot', '--on', 'all'], env).end;
    expect(code).toBe(2);
    expect(stderr).toContain('marked dangerous');
    expect(stderr).toContain('--yes');
    expect(server.runs.submitted.length).toBe(before);
    succeed('web-1', 'web-2');
    expect((await openline(['run', 'linux/reboot', '--on', 'all', '--yes'], env).end).code).toBe(0);
  });
});

describe('Ctrl-C while a run is watched', () => {
  it('leaves with 130; the run goes on, and the way back is on stderr', async () => {
    const running = openline(['run', 'linux/uptime', '--on', 'all'], env);
    server.runs.onSubmit = (runId) => server.runs.set(runId, dispatchMessage('web-1', DISPATCH_STATE_RUNNING));
    await running.says('web-1: running');
    running.kill('SIGINT');
    const { code, stderr } = await running.end;
    expect(code).toBe(130);
    expect(stderr).toMatch(/interrupted: the run goes on\.\n→ come back: `openline runs watch run-\d+`/);
  });

  it('with --cancel-on-interrupt cancels, waits for the ends, shows them, and leaves with 130', async () => {
    const running = openline(['run', 'linux/uptime', '--on', 'all', '--cancel-on-interrupt'], env);
    server.runs.onSubmit = (runId) => server.runs.set(runId, dispatchMessage('web-1', DISPATCH_STATE_RUNNING));
    await running.says('web-1: running');
    running.kill('SIGINT');
    const { code, stdout, stderr } = await running.end;
    expect(code).toBe(130);
    expect(stderr).toContain('cancelling the run');
    expect(stdout).toMatch(/web-1 +cancelled/);
  });
});

describe('when the server goes away in the middle', () => {
  it('says so, comes back by itself, and shows the end', async () => {
    let id = '';
    server.runs.onSubmit = (runId) => {
      id = runId;
      server.runs.set(runId, dispatchMessage('web-1', DISPATCH_STATE_RUNNING));
    };
    const running = openline(['run', 'linux/uptime', '--on', 'all'], env);
    await running.says('web-1: running');
    await server.stop();
    await running.says('connection lost');
    await server.start();
    await running.says('the server is back');
    for (const name of ['web-1', 'web-2']) server.runs.set(id, dispatchMessage(name, DISPATCH_STATE_SUCCEEDED));
    const { code, stdout } = await running.end;
    expect(code).toBe(0);
    expect(stdout).toContain('2 succeeded');
  });
});

describe('openline runs', () => {
  it('retry runs only what did not succeed, and behaves as run does', async () => {
    server.runs.onSubmit = (runId) => {
      server.runs.set(runId, dispatchMessage('web-1', DISPATCH_STATE_SUCCEEDED));
      server.runs.set(
        runId,
        dispatchMessage('web-2', DISPATCH_STATE_FAILED, { exitCode: 1, reasonCode: 'TASK_EXIT_CODE' }),
      );
    };
    const first = await openline(['run', 'linux/uptime', '--on', 'all', '-o', 'json'], env).end;
    const { id } = JSON.parse(first.stdout);
    succeed('web-2');
    const { code, stdout } = await openline(['runs', 'retry', id, '-o', 'json'], env).end;
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ retryOf: id, targetCount: 1, dispatches: [{ agent: 'web-2' }] });
    // `runs show` tells what became of the first one, and is itself no failure.
    const shown = await openline(['runs', 'show', id], env).end;
    expect(shown.code).toBe(0);
    expect(shown.stdout).toContain('1 succeeded, 1 failed');
  });

  it('are named by the beginning of their id, where that is enough', async () => {
    server.runs.newId = () => '01a22c70-66e0-7090-8deb-6014b76e53c9';
    await openline(['run', 'linux/uptime', '--on', 'all', '--detach'], env).end;
    server.runs.newId = () => '01a22c70-3a4b-735a-8f48-69487aec03cc';
    await openline(['run', 'linux/uptime', '--on', 'all', '--detach'], env).end;
    server.runs.newId = undefined;
    const shown = await openline(['runs', 'show', '01a22c70-6', '-o', 'json'], env).end;
    expect(JSON.parse(shown.stdout)).toMatchObject({ id: '01a22c70-66e0-7090-8deb-6014b76e53c9' });
    const several = await openline(['runs', 'cancel', '01a22c70'], env).end;
    expect(several).toMatchObject({ code: 2, stderr: expect.stringContaining('2 runs begin with «01a22c70»') });
    expect((await openline(['runs', 'show', '01a22c71'], env).end).stderr).toContain('[RUN_UNKNOWN]');
  });

  it('output writes the raw bytes of one target, from an offset on', async () => {
    let id = '';
    server.runs.onSubmit = (runId) => {
      id = runId;
      server.runs.write(runId, 'web-1', Buffer.from([0x61, 0xff, 0x00, 0x62]));
      for (const name of ['web-1', 'web-2'])
        server.runs.set(runId, dispatchMessage(name, DISPATCH_STATE_SUCCEEDED, { outputBytes: 4n }));
    };
    await openline(['run', 'linux/uptime', '--on', 'all', '-o', 'json'], env).end;
    const { code, stdout } = await openline(['runs', 'output', id, '--target', 'web-1', '--from', '2'], env).end;
    expect(code).toBe(0);
    expect(stdout).toBe('\0b');
    const unknown = await openline(['runs', 'output', id, '--target', 'web-9'], env).end;
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain('error [AGENT_UNKNOWN]');
  });
});

describe('errors', () => {
  it('a wrong token is UNAUTHENTICATED, exit 2, says where the token came from and never shows it', async () => {
    const { code, stderr } = await openline(['agents', 'list'], { ...env, OPENLINE_TOKEN: 'olt_wrong-secret' }).end;
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error \[UNAUTHENTICATED\] .*the token was from OPENLINE_TOKEN\)\n→ /);
    expect(stderr).not.toContain('wrong-secret');
  });

  it('a refusal of the server carries its code, its words and what to do', async () => {
    const { code, stderr } = await openline(['run', 'linux/uptime', '--on', 'name=nobody'], env).end;
    expect(code).toBe(2);
    expect(stderr).toBe(
      'error [NO_TARGETS] no agent matches name=nobody\n→ `openline agents list` shows names and labels. One agent by its name is `--agent NAME`, or `name=NAME`.\n',
    );
  });

  it('an unknown pack and a misspelled task are bad requests', async () => {
    expect((await openline(['run', 'windows/uptime', '--on', 'all'], env).end).stderr).toContain(
      'error [PACK_UNKNOWN]',
    );
    const { code, stderr } = await openline(['run', 'linux/uptme', '--on', 'all'], env).end;
    expect(code).toBe(2);
    expect(stderr).toContain('did you mean uptime?');
  });

  it('an unreachable server is exit 1, with its address and how to start one', async () => {
    const { code, stderr } = await openline(['agents', 'list'], { ...env, OPENLINE_SERVER: 'localhost:1' }).end;
    expect(code).toBe(1);
    expect(stderr).toContain(
      'error [SERVER_UNREACHABLE] no server answers at localhost:1: connection refused (address from OPENLINE_SERVER)',
    );
    expect(stderr).toContain('openline server');
  });

  it('a server of another CA is not trusted, and gets no token', async () => {
    const { OPENLINE_CA: _, ...without } = env;
    const { code, stderr } = await openline(['agents', 'list'], without).end;
    expect(code).toBe(1);
    expect(stderr).toContain('error [SERVER_UNTRUSTED]');
  });

  it('what does not speak TLS is told apart', async () => {
    const plain = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    const address = plain.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const { code, stderr } = await openline(['agents', 'list'], { ...env, OPENLINE_SERVER: `127.0.0.1:${port}` }).end;
    plain.close();
    expect(code).toBe(1);
    expect(stderr).toContain('error [SERVER_UNREACHABLE]');
  });

  it('an unknown flag is exit 2, with the one that was meant', async () => {
    const { code, stderr } = await openline(['run', 'linux/uptime', '--on', 'all', '--folow']).end;
    expect(code).toBe(2);
    expect(stderr).toBe(
      "error [REQUEST_INVALID] unknown option '--folow' (Did you mean --follow?)\n→ See `openline run --help`.\n",
    );
  });

  it('a reader that has seen enough is no error', async () => {
    const running = openline(['agents', 'list'], env);
    running.closeStdout();
    const { code, stderr } = await running.end;
    expect(code).toBe(141);
    expect(stderr).toBe('');
  });
});

describe('openline finds the server of this machine', () => {
  it('by the client.json that it left in .openline/server of a folder above', async () => {
    const root = join(dir, 'machine');
    mkdirSync(join(root, '.openline', 'server'), { recursive: true });
    mkdirSync(join(root, 'deep', 'er'), { recursive: true });
    writeFileSync(join(root, '.openline', 'server', 'ca.pem'), server.tls.caPem);
    writeFileSync(join(root, '.openline', 'server', 'admin.token'), `${server.token}\n`);
    writeFileSync(
      join(root, '.openline', 'server', 'client.json'),
      JSON.stringify({ server: server.address, caFile: 'ca.pem', tokenFile: 'admin.token' }),
    );
    const { code, stdout, stderr } = await openline(['-v', 'whoami'], {}, join(root, 'deep', 'er')).end;
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('admin (admin)');
    expect(stderr).toContain('client.json');
    expect(stderr).not.toContain(server.token);
  });
});

describe('the other commands', () => {
  it('tokens create --join prints the complete command and nothing else on stdout', async () => {
    const { code, stdout, stderr } = await openline(['tokens', 'create', '--join', '--label', 'role=web'], env).end;
    expect(code).toBe(0);
    expect(stdout).toBe('openline agent --server localhost:5723 --join-token olj_secret --ca-hash sha256:abc\n');
    expect(stderr).toContain('put in the server’s name');
    expect(server.tokensMade.at(-1)).toMatchObject({ labels: { role: 'web' } });
  });

  it('tokens create --join names the address of a load balancer, where the server knows of one', async () => {
    server.agentAddress = 'agents.example:443';
    const { stdout, stderr } = await openline(['tokens', 'create', '--join'], env).end;
    server.agentAddress = '';
    expect(stdout).toContain('openline agent --server agents.example:443 --join-token');
    expect(stderr).not.toContain('put in');
  });

  it('context export prints what context import takes, elsewhere, with a token of its own', async () => {
    const args = ['context', 'export', 'prod', '--for', 'alice', '--ttl', '7d', '--address', 'prod.example'];
    const { code, stdout, stderr } = await openline(args, env).end;
    expect(code, stderr).toBe(0);
    expect(server.tokensMade.at(-1)).toMatchObject({ name: 'alice', role: 'operator', ttlMs: 604_800_000n });
    expect(stderr).toContain('valid for 7d. Revoke it: `openline tokens revoke t1`');
    writeFileSync(join(dir, 'exported.yaml'), stdout);
    const there = { OPENLINE_CONFIG: join(dir, 'there', 'config.yaml') };
    const imported = await openline(['context', 'import', join(dir, 'exported.yaml')], there).end;
    expect(imported.stdout).toBe(
      `context prod (prod.example:5724) is in ${there.OPENLINE_CONFIG}, and is the current one\n`,
    );
    const config = readFileSync(there.OPENLINE_CONFIG, 'utf8');
    expect(config).toContain('token: olt_secret');
    expect(config).toContain(server.tls.caPem.split('\n')[1]);
  });

  it('tokens create NAME prints the secret alone, so that a shell can take it', async () => {
    const { code, stdout } = await openline(['tokens', 'create', 'ci', '--role', 'viewer', '--ttl', '30d'], env).end;
    expect(code).toBe(0);
    expect(stdout).toBe('olt_secret\n');
    expect(server.tokensMade.at(-1)).toMatchObject({ name: 'ci', role: 'viewer', ttlMs: 2_592_000_000n, labels: {} });
    expect((await openline(['tokens', 'create'], env).end).code).toBe(2);
  });

  it('trace shows the link, then each frame with what it added to the wire', async () => {
    const frame = {
      atUnixUs: 1_700_000_000_123_456n,
      direction: 1 as const,
      kind: 'heartbeat',
      bytes: 21,
      detail: 'seq 7',
    };
    const link = {
      connected: true,
      remoteAddress: '10.0.0.7:41234',
      sessionEpoch: 3n,
      openedUnixMs: 1_700_000_000_000n,
      messagesUp: 8n,
      messagesDown: 2n,
    };
    const bytes = { messageBytesUp: 200n, messageBytesDown: 90n, socketBytesUp: 1_000n, socketBytesDown: 2_000n };
    server.trace = [
      {
        kind: {
          $case: 'snapshot',
          value: { ...link, ...bytes, tlsProtocol: 'TLSv1.3', tlsCipher: 'TLS_AES_256_GCM_SHA384' },
        },
      },
      { kind: { $case: 'frame', value: { ...frame, socketBytesUp: 1_052n, socketBytesDown: 2_000n } } },
    ];
    const { code, stdout } = await openline(['trace', 'web-1', '--count', '1'], env).end;
    expect(code).toBe(0);
    const lines = stdout.split('\n');
    expect(lines[0]).toBe('link of web-1: 10.0.0.7:41234, epoch 3');
    expect(lines[1]).toMatch(/^ {2}opened {2}2023-11-14T22:13:20\.000Z \(\d+d ago\)$/);
    expect(lines[3]).toBe('  ↑ up    8 messages, 200 bytes; on the wire 1,000 bytes');
    expect(stdout).toMatch(/↑ heartbeat +21 +\+52 +seq 7/);
  });

  it('doctor checks the way to the server and what it knows; warnings are no failure', async () => {
    const { code, stdout } = await openline(['doctor'], env).end;
    expect(stdout).toContain('ok    token: admin, role admin');
    expect(stdout).toMatch(/warn {2}agents: 1 of 2 connected; offline: web-2/);
    expect(code).toBe(0);
    const broken = await openline(['doctor'], { ...env, OPENLINE_TOKEN: 'wrong' }).end;
    expect(broken.code).toBe(1);
    expect(broken.stdout).toContain('fail  token:');
  });

  it('packs push says of what is wrong the first thing: no server, then none that answers, then no key', async () => {
    const push = (env: Record<string, string>) => openline(['packs', 'push', 'utility'], env).end;
    const nowhere = await push({});
    expect(nowhere).toMatchObject({ code: 2, stderr: expect.stringContaining('no management server is named') });
    const closed = await push({ ...env, OPENLINE_SERVER: '127.0.0.1:1' });
    expect(closed).toMatchObject({ code: 1, stderr: expect.stringContaining('[SERVER_UNREACHABLE]') });
    const stranger = await push({ ...env, OPENLINE_TOKEN: 'wrong' });
    expect(stranger.stderr).not.toContain('key');
    const unsigned = await push(env);
    expect(unsigned).toMatchObject({ code: 2, stderr: expect.stringContaining('no key to sign it with') });
  });

  it('packs list, show and push say what a pack has besides tasks', async () => {
    expect((await openline(['packs', 'list'], env).end).stdout).toMatch(
      /TASKS +RULES +MONITORS.*\nlinux +1\.0\.0 +2 +1 +0 /,
    );
    expect((await openline(['packs', 'show', 'linux'], env).end).stdout).toContain(
      'rules:    1: `openline rules linux`',
    );
    await openline(['packs', 'keygen', join(dir, 'mine')]).end;
    const pushed = await openline(['packs', 'push', 'utility', '--key', join(dir, 'mine.key')], env).end;
    expect(pushed.stdout).toContain('(2 tasks, 1 rule, 070707070707) pushed');
  });

  it('packs show TASK prints parameters and a command to paste', async () => {
    const { stdout } = await openline(['packs', 'show', 'linux/uptime'], env).end;
    expect(stdout).toMatch(/count +integer +3 +how many/);
    expect(stdout).toContain('openline run linux/uptime --on all --param count=5');
  });

  it('completion asks the server for tasks, agents and runs', async () => {
    expect((await openline(['complete', '--', 'run', 'linux/'], env).end).stdout).toContain(
      'linux/uptime\tuptime of the machine',
    );
    expect((await openline(['complete', '--', 'agents', 'show', ''], env).end).stdout).toContain('web-1\tonline');
    expect((await openline(['complete', '--', 'run', 'linux/uptime', '--on', 'name=web'], env).end).stdout).toContain(
      'name=web-1',
    );
    expect((await openline(['complete', '--', 'runs', 'sh'], env).end).stdout).toContain('show\t');
    const dead = await openline(['complete', '--', 'run', ''], { ...env, OPENLINE_SERVER: 'localhost:1' }).end;
    expect(dead).toMatchObject({ code: 0, stderr: '' });
  });
});
