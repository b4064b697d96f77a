import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

let root: string;
let script: string;

const lockOf = (version: string) => ({
  packages: {
    '': { name: 'x' },
    'node_modules/a': { version, integrity: `sha512-${version}` },
    'node_modules/other-platform': { version: '1.0.0', integrity: 'sha512-x', optional: true },
  },
});

/** Stands for npm: what `npm ci` leaves behind, slowly, and counted. */
const FAKE_NPM = `#!/bin/sh
echo "npm $*" >> "$FAKE_ROOT/npm.log"
sleep 0.3
mkdir -p "$FAKE_ROOT/node_modules/.bin"
ln -sf "$REAL_NODE" "$FAKE_ROOT/node_modules/.bin/node"
printf '#!/bin/sh\\necho "tool $*"\\n' > "$FAKE_ROOT/node_modules/.bin/tool"
chmod +x "$FAKE_ROOT/node_modules/.bin/tool"
cp "$FAKE_ROOT/package-lock.json" "$FAKE_ROOT/node_modules/.package-lock.json"
`;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'openline-with-deps-'));
  mkdirSync(join(root, 'scripts'));
  mkdirSync(join(root, 'outer'));
  script = join(root, 'scripts', 'with-deps.mjs');
  cpSync(join(import.meta.dirname, 'with-deps.mjs'), script);
  writeFileSync(join(root, 'outer', 'npm'), FAKE_NPM);
  chmodSync(join(root, 'outer', 'npm'), 0o755);
  writeFileSync(join(root, 'package-lock.json'), JSON.stringify(lockOf('1.0.0')));
});
afterEach(() => rmSync(root, { recursive: true }));

const env = () => ({
  ...process.env,
  FAKE_ROOT: root,
  REAL_NODE: process.execPath,
  PATH: join(root, 'outer') + delimiter + process.env['PATH'],
});
const run = (...args: string[]) => spawnSync(process.execPath, [script, ...args], { encoding: 'utf8', env: env() });
const installs = () =>
  existsSync(join(root, 'npm.log')) ? readFileSync(join(root, 'npm.log'), 'utf8').trim().split('\n').length : 0;

describe('with-deps', () => {
  it('installs what is missing, says so on standard error, and runs the command with its arguments', () => {
    const first = run('tool', 'one', 'two words');
    expect([first.status, first.stdout]).toEqual([0, 'tool one two words\n']);
    expect(first.stderr).toContain('the dependencies are not installed; running npm ci');
  });

  it('installs nothing the second time', () => {
    run('tool');
    const second = run('tool');
    expect([second.stderr, installs()]).toEqual(['', 1]);
  });

  it('installs again when package-lock.json names another version', () => {
    run('tool');
    writeFileSync(join(root, 'package-lock.json'), JSON.stringify(lockOf('1.0.1')));
    expect(run('tool').stderr).toContain('a is not the version that package-lock.json names');
    expect(installs()).toBe(2);
  });

  it('installs once for commands that start together', async () => {
    const codes = await Promise.all(
      [1, 2, 3].map(
        () =>
          new Promise((resolve) =>
            spawn(process.execPath, [script, 'tool'], { env: env(), stdio: 'ignore' }).on('exit', resolve),
          ),
      ),
    );
    expect([codes, installs()]).toEqual([[0, 0, 0], 1]);
    expect(existsSync(join(root, '.openline', 'install.lock'))).toBe(false);
  });

  it('takes over the lock of a process that died', () => {
    mkdirSync(join(root, '.openline'));
    const dead = spawnSync('true').pid;
    writeFileSync(join(root, '.openline', 'install.lock'), String(dead));
    expect(run('tool').status).toBe(0);
  });

  it('passes the exit code on', () => {
    expect(run('sh', '-c', 'exit 42').status).toBe(42);
  });

  it('dies of the signal that its command died of', () => {
    expect(run('sh', '-c', 'kill -KILL $$').signal).toBe('SIGKILL');
  });

  it('passes a signal to its command, and lets that end as it likes', async () => {
    run('tool');
    const child = spawn(
      process.execPath,
      [script, 'sh', '-c', 'trap "exit 7" TERM; echo ready; while [ -e package-lock.json ]; do sleep 0.05; done'],
      {
        cwd: root,
        env: env(),
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    // Should the signal not arrive: without its file the loop ends, and holds nobody's pipes open.
    child.stdout.once('data', () => child.kill('SIGTERM'));
    expect(await new Promise((resolve) => child.on('exit', resolve))).toBe(7);
  });

  it('says that a command does not exist', () => {
    const result = run('no-such-command');
    expect([result.status, result.stderr]).toEqual([127, expect.stringContaining('cannot run no-such-command')]);
  });
});
