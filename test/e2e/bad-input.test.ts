import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { RunServiceService } from '@openline/proto/operator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  cleanup,
  localAccess,
  type Operator,
  operatorClient,
  packsHeld,
  pushPacks,
  runCli,
  scratchDir,
  signWithSiteKey,
  startAgent,
  startProcess,
  startServer,
  stateName,
  type TestServer,
} from '../harness/index.ts';
import { AGENT, OPENLINE } from '../harness/paths.ts';

let server: TestServer;
let dir: string;

beforeAll(async () => {
  dir = scratchDir('bad-input');
  server = await startServer({ dir, flags: ['--heartbeat-interval=1s', '--offline-after=15s'] });
  await pushPacks(server);
  await startAgent({ dir, server, name: 'agent' });
  await packsHeld(server);
});
afterAll(cleanup);

/** What the task saw, byte for byte, and how it ended. */
async function show(value: string): Promise<{ seen: string; state: string }> {
  const { run, dispatches } = await server.operator.run('test/show', { parameters: { value } });
  const [dispatch] = dispatches;
  const { data } = await server.operator.output(run?.id ?? '', dispatch?.agentId ?? '');
  return { seen: data.toString(), state: stateName(dispatch?.state ?? 0) };
}

describe('a parameter', () => {
  const hostile = [
    ['quotes', `it's "quoted" \\' \\" \\\\`],
    ['newlines', 'first\nsecond\r\n\tthird\n\n'],
    ['a command substitution', '$(touch pwned; id) $HOME $((1+1)) $PATH'],
    ['backticks', '`touch pwned`'],
    ['separators', '; touch pwned & | && || > pwned < /etc/passwd #'],
    ['an option', '--help -rf /'],
    ['globs', '* ? [a-z] ~ {a,b} !!'],
    ['other alphabets', 'żółć 日本語 🙂 \u202e \u0001\u001b[31m'],
    ['nothing', ''],
    ['variables of the loader', 'LD_PRELOAD=/tmp/x.so\nBASH_ENV=/tmp/y'],
  ] as const;

  it.each(hostile)('with %s arrives as it is, through the API', async (_, value) => {
    expect(await show(value)).toEqual({ seen: value, state: 'succeeded' });
  });

  it('of all these kinds arrives as it is, through the CLI', async () => {
    await Promise.all(
      hostile.map(async ([, value]) => {
        const { stdout, code } = await runCli(server, [
          'run',
          'test/show',
          '--on=all',
          '-p',
          `value=${value}`,
          '--follow',
        ]);
        expect(stdout.toString()).toBe(value);
        expect(code).toBe(0);
      }),
    );
  });

  it('of 1 MiB arrives whole, through the API and from a file through the CLI', async () => {
    const value = `${'a"$(id)`\n\\ é'.repeat(90_000)}`.slice(0, 1024 * 1024);
    expect((await show(value)).seen === value).toBe(true);
    await writeFile(join(dir, 'large.txt'), value);
    const { stdout, stderr, code } = await runCli(server, [
      'run',
      'test/show',
      '--on',
      'all',
      '--param-file',
      'value=large.txt',
      '--follow',
    ]);
    const said = stderr.toString().slice(-500);
    expect({ code, bytes: stdout.length, said }).toEqual({ code: 0, bytes: Buffer.byteLength(value), said });
    expect(stdout.toString() === value).toBe(true);
  });

  it('with a NUL byte is refused, with its name', async () => {
    await expect(show('before\0after')).rejects.toThrow(/\[PARAMETERS_INVALID\].*value/);
    await writeFile(join(dir, 'nul.txt'), 'before\0after');
    const { stderr, code } = await runCli(server, ['run', 'test/show', '--on', 'all', '--param-file', 'value=nul.txt']);
    expect(stderr).toContain('[PARAMETERS_INVALID]');
    expect(code).toBe(2);
  });

  it.each([
    ['too long', { value: 'x'.repeat(2_000_001) }, /value/],
    ['missing', {}, /value/],
    ['of a wrong type', { value: 7 }, /value/],
    ['unknown', { value: 'x', valeu: 'y' }, /valeu/],
  ])('that is %s is refused, with its name, and nothing runs', async (_, parameters, name) => {
    const before = (await allRuns(server.operator)).length;
    const error = await server.operator.submit('test/show', { parameters }).catch((cause: Error) => cause.message);
    expect(error).toContain('[PARAMETERS_INVALID]');
    expect(error).toMatch(name);
    expect(await allRuns(server.operator)).toHaveLength(before);
  });

  it('was never taken for a command', async () => {
    const found = await readdir(dir, { recursive: true });
    expect(found.filter((path) => basename(path) === 'pwned')).toEqual([]);
  });
});

const allRuns = async (operator: Operator) =>
  (await operator.unary(RunServiceService.listRuns, { limit: 1000, pageToken: '', openOnly: false, task: '' })).runs;

function pack(changes: { name?: string; version?: string; tasks?: string; more?: string } = {}): string {
  return `apiVersion: openline.dev/v1
kind: Pack
metadata:
  name: ${changes.name ?? 'site'}
  version: ${changes.version ?? '1.0.0'}
  title: Site
  description: For a test.
${changes.more ?? ''}tasks:
${
  changes.tasks ??
  `  hello:
    title: Hello
    description: Says so.
    timeout: 10s
    run:
      command: [echo, hello]
`
}`;
}

describe('a regular expression that takes for ever', () => {
  it('stalls nobody', async () => {
    const content = Buffer.from(
      pack({
        name: 'slow',
        tasks: `  match:
    title: Match
    description: Its pattern backtracks without end in most engines.
    timeout: 10s
    parameters:
      text:
        type: string
        description: Any.
        pattern: '^(([a-z])+.)+[A-Z]([a-z])+$'
    run:
      command: [echo, matched]
`,
      }),
    );
    // It may be refused as it is pushed, or it may be matched in linear time; nobody waits for it in either case.
    const worstMs = await whileAsking(async () => {
      const pushed = await server.operator
        .pushPack(content, await signWithSiteKey(server, content), 'slow.yaml')
        .catch((cause: Error) => cause.message);
      if (typeof pushed === 'string') return expect(pushed).toContain('[PACK_INVALID]');
      const startMs = performance.now();
      await expect(server.operator.submit('slow/match', { parameters: { text: 'a'.repeat(50_000) } })).rejects.toThrow(
        '[PARAMETERS_INVALID]',
      );
      expect(performance.now() - startMs).toBeLessThan(20_000);
      return undefined;
    });
    expect(worstMs).toBeLessThan(20_000);
  });
});

/** Asks the server something small again and again meanwhile. @returns the longest answer, milliseconds */
async function whileAsking(work: () => Promise<unknown>): Promise<number> {
  let done = false;
  let worstMs = 0;
  const asking = (async () => {
    while (!done) {
      const startMs = performance.now();
      await server.operator.whoAmI();
      worstMs = Math.max(worstMs, performance.now() - startMs);
    }
  })();
  try {
    await work();
  } finally {
    done = true;
    await asking;
  }
  return worstMs;
}

describe('a broken pack', () => {
  const packs = async () =>
    (await server.operator.packs()).map(
      ({ name, version, digest }) => `${name}@${version} ${Buffer.from(digest).toString('hex')}`,
    );
  const file = async (name: string, content: string) => {
    await mkdir(join(dir, 'packs'), { recursive: true });
    await writeFile(join(dir, 'packs', name), content);
    return join('packs', name);
  };
  /** Pushes it with the CLI, holds that it is refused and that nothing changed. @returns what the person reads */
  async function refused(args: readonly string[]): Promise<string> {
    const before = await packs();
    const { code, stderr } = await runCli(server, ['packs', 'push', ...args]);
    expect(stderr).toMatch(/^error \[/);
    expect([1, 2]).toContain(code);
    expect(await packs()).toEqual(before);
    return stderr;
  }

  it.each([
    ['bad YAML', pack().replace('title: Hello', 'title: [Hello'), /site\.yaml:\d+:\d+/],
    ['an unknown field', pack().replace('timeout: 10s', 'timeuot: 10s'), /site\.yaml:12:5.*timeuot/],
    ['a wrong type', pack().replace('timeout: 10s', 'timeout: soon'), /site\.yaml:12:14.*timeout/],
    ['no tasks', pack({ tasks: '' }), /site\.yaml:\d+:\d+.*tasks/],
    ['a key twice', pack({ more: 'kind: Pack\n' }), /site\.yaml:8:\d+/],
    ['a name that leads elsewhere', pack({ name: '../../etc/passwd' }), /site\.yaml:4:\d+.*name/],
    ['aliases that multiply', bomb(), /site\.yaml:\d+:\d+.*alias/i],
  ])('with %s is refused with file, line and column', async (_, content, position) => {
    const path = await file('site.yaml', content);
    const said = await refused([path]);
    expect(said).toContain('[PACK_INVALID]');
    expect(said).toMatch(position);
    // The server does not rely on the CLI.
    const bytes = Buffer.from(content);
    const signature = await signWithSiteKey(server, bytes);
    await expect(server.operator.pushPack(bytes, signature, 'site.yaml')).rejects.toThrow(position);
  });

  it('that is not text, or too large, is refused', async () => {
    for (const bytes of [Buffer.from([0xff, 0xfe, 0x00, 0x80]), Buffer.alloc(1024 * 1024 + 1, 0x23)]) {
      const signature = await signWithSiteKey(server, bytes);
      await expect(server.operator.pushPack(bytes, signature, 'site.yaml')).rejects.toThrow(
        /\[(PACK|REQUEST)_INVALID\]/,
      );
    }
  });

  it('whose signature belongs to other bytes, or to nobody, is refused', async () => {
    const path = await file('site.yaml', pack());
    expect((await runCli(server, ['packs', 'sign', path])).code).toBe(0);
    await file('site.yaml', pack().replace('hello]', 'goodbye]'));
    expect(await refused([path])).toContain('[PACK_SIGNATURE_INVALID]');
    await writeFile(join(dir, `${path}.minisig`), 'no signature at all\n');
    expect(await refused([path])).toContain('[PACK_SIGNATURE_INVALID]');
  });

  it('that is signed with a key that nobody trusts is refused', async () => {
    expect((await runCli(server, ['packs', 'keygen', 'packs/stranger'])).code).toBe(0);
    const path = await file('stranger.yaml', pack({ name: 'stranger' }));
    expect(await refused([path, '--key', 'packs/stranger.key'])).toContain('[PACK_KEY_UNTRUSTED]');
  });

  it('older than the one in place, or of its version with other content, is refused; the same again is fine', async () => {
    const path = await file('fine.yaml', pack({ name: 'fine', version: '1.2.0' }));
    expect((await runCli(server, ['packs', 'push', path])).code).toBe(0);
    await file('fine.yaml', pack({ name: 'fine', version: '1.1.9' }));
    expect(await refused([path])).toContain('[PACK_DOWNGRADE]');
    await file('fine.yaml', pack({ name: 'fine', version: '1.2.0' }).replace('hello]', 'other]'));
    expect(await refused([path])).toContain('[PACK_CONTENT_CHANGED]');
    await file('fine.yaml', pack({ name: 'fine', version: '1.2.0' }));
    expect((await runCli(server, ['packs', 'push', path])).code).toBe(0);
  });
});

function bomb(): string {
  const levels = Array.from(
    { length: 9 },
    (_, i) => `  l${i + 1}: &l${i + 1} [${Array.from({ length: 10 }, () => `*l${i}`).join(', ')}]`,
  );
  return `bomb:\n  l0: &l0 [x]\n${levels.join('\n')}\n${pack()}`;
}

describe('a broken configuration', () => {
  const SECRET = 'hunter2-do-not-show';
  async function start(program: readonly string[], env: Record<string, string> = {}): Promise<string> {
    const child = startProcess(process.execPath, [...program], { cwd: dir, env });
    const { code } = await child.exited;
    expect(code).toBe(2);
    const said = child.lines.join('\n');
    expect(said).toContain('[CONFIG_INVALID]');
    expect(said).not.toContain(SECRET);
    return said;
  }

  it.each([
    ['server', [OPENLINE, 'server', `--data-dir=x`, `--max-agents=${SECRET}`], '--max-agents'],
    ['server', [OPENLINE, 'server', `--data-dir=x`, `--database-url=${SECRET}`], '--database-url'],
    ['agent', [AGENT, `--data-dir=x`, `--tasks-concurrency=${SECRET}`], '--tasks-concurrency'],
    ['agent', [AGENT, `--data-dir=x`, `--trusted-pack-key=${SECRET}`], '--trusted-pack-key'],
  ])('of the %s names the key, and not the value', async (_, program, key) => {
    expect(await start(program)).toContain(key);
  });

  it.each([
    ['server', [OPENLINE, 'server'], `dataDir: x\ndatabaseUrl: ${SECRET}\n`, /databaseUrl/],
    ['server', [OPENLINE, 'server'], `dataDir: x\npassword: ${SECRET}\n`, /password/],
    ['server', [OPENLINE, 'server'], `dataDir: [${SECRET}\n`, /bad\.yaml:\d+:\d+/],
    ['agent', [AGENT], `dataDir: x\ncaHash: ${SECRET}\n`, /caHash/],
    ['agent', [AGENT], `dataDir: x\nsecret: ${SECRET}\n`, /secret/],
    ['agent', [AGENT], `dataDir: [${SECRET}\n`, /bad\.yaml:\d+:\d+/],
  ])(
    'in the file of the %s names the file and the key or the line, and not the value',
    async (_, program, text, expected) => {
      await writeFile(join(dir, 'bad.yaml'), text);
      const said = await start([...program, '--config=bad.yaml']);
      expect(said).toMatch(expected);
      expect(said).toContain('bad.yaml');
    },
  );

  it('in the environment names the variable', async () => {
    const said = await start([OPENLINE, 'server', '--data-dir=x'], {
      OPENLINE_SERVER_DATABASE_URL: `postgres://u:${SECRET}@[/x`,
    });
    expect(said).toContain('OPENLINE_SERVER_DATABASE_URL');
  });
});

describe('the operator port', () => {
  const attempts = (operator: Operator, runId: string) => [
    () => operator.submit('test/show', { parameters: { value: 'x' } }),
    () => operator.cancel(runId),
    () => operator.unary(RunServiceService.retryRun, { runId, idempotencyKey: '' }),
    () => operator.joinToken(),
    () => operator.pushPack(Buffer.from(pack()), '', 'site.yaml'),
  ];

  it.each([
    ['no token', async () => '', 'UNAUTHENTICATED'],
    ['a token that was made up', async () => 'olt_0000000000000000000000000000000000000000', 'UNAUTHENTICATED'],
    ['a join token', () => server.operator.joinToken(), 'UNAUTHENTICATED'],
    ['a viewer’s token', () => server.operator.operatorToken('viewer'), 'PERMISSION_DENIED'],
  ])('with %s changes nothing and runs nothing', async (_, token, code) => {
    const { address, caPem } = await localAccess(server.dataDir);
    const { run } = await server.operator.run('test/exit', { parameters: { code: 1 } });
    const operator = operatorClient({ address, caPem, token: await token() });
    const before = (await allRuns(server.operator)).length;
    await Promise.all(
      attempts(operator, run?.id ?? '').map((attempt) => expect(attempt()).rejects.toThrow(`[${code}]`)),
    );
    expect(await allRuns(server.operator)).toHaveLength(before);
    operator.close();
  });

  it('with a viewer’s token in the CLI says which role it takes', async () => {
    const token = await server.operator.operatorToken('viewer');
    const { code, stderr } = await runCli(server, ['run', 'test/show', '--on', 'all', '-p', 'value=x'], { token });
    expect(stderr).toContain('[PERMISSION_DENIED]');
    expect(stderr).toContain('operator');
    expect(code).toBe(2);
  });

  it('leaves a trace of who did what, without secrets', async () => {
    const audit = await runCli(server, ['audit', '-o', 'jsonl', '-n', '1000']);
    const text = audit.stdout.toString();
    expect(text).toContain('run.submit');
    expect(text).not.toContain((await readFile(join(server.dataDir, 'admin-token'), 'utf8')).trim());
  });
});
