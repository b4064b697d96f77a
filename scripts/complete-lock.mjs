// package-lock.json must name every optional package, also those for other platforms: `npm ci` refuses a lock file that does not,
// and `npm install` leaves out those that it cannot find (a registry mirror may carry only some platforms; npm/cli#4828).
//   node scripts/complete-lock.mjs [--write]     says what is missing; adds it, without an integrity hash, for `npm ci` to skip
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const lockFile = join(dirname(dirname(fileURLToPath(import.meta.url))), 'package-lock.json');
const lock = JSON.parse(readFileSync(lockFile, 'utf8'));

const OS = ['aix', 'android', 'darwin', 'freebsd', 'linux', 'netbsd', 'openbsd', 'openharmony', 'sunos', 'win32'];

/** "@scope/cli-linux-x64-musl" → { os: linux, cpu: x64, libc: musl }; undefined when the name tells no platform. */
function platformOf(name) {
  const words = name.split(/[-/]/);
  const at = words.findIndex((word) => OS.includes(word));
  const cpu = words[at + 1];
  if (at < 0 || cpu === undefined) return undefined;
  const abi = words[at + 2] ?? '';
  const libc = abi.startsWith('musl') ? 'musl' : abi.startsWith('gnu') ? 'glibc' : undefined;
  const base = { os: [words[at]], cpu: [cpu === 'armv7' ? 'arm' : cpu] };
  return libc === undefined ? base : { ...base, libc: [libc] };
}

/** As Node looks packages up: beside the one that asks, then further out. */
function find(from, name) {
  for (let dir = from; ; dir = dir.slice(0, Math.max(0, dir.lastIndexOf('node_modules') - 1))) {
    const path = `${dir === '' ? '' : `${dir}/`}node_modules/${name}`;
    if (lock.packages[path] !== undefined) return path;
    if (dir === '') return undefined;
  }
}

/** A range is written only in the root, for Node itself: the version is that of its sibling for this platform. */
function versionOf(name, range) {
  if (/^\d+\.\d+\.\d+\S*$/.test(range)) return range;
  const sibling = find('', name.replace(/-(darwin|linux)-.*$/, '-linux-x64'));
  if (sibling === undefined) throw new Error(`no exact version of ${name} is known: ${range}`);
  return lock.packages[sibling].version;
}

const missing = [];
for (const [path, { optionalDependencies = {} }] of Object.entries(lock.packages)) {
  for (const [name, range] of Object.entries(optionalDependencies)) {
    if (find(path, name) !== undefined) continue;
    const platform = platformOf(name);
    if (platform === undefined) throw new Error(`the platform of ${name} cannot be told from its name`);
    missing.push(name);
    lock.packages[`node_modules/${name}`] = { version: versionOf(name, range), ...platform, optional: true };
  }
}

if (missing.length === 0) console.log('package-lock.json is complete');
else if (process.argv.includes('--write')) {
  const [[root, self], ...rest] = Object.entries(lock.packages);
  rest.sort(([a], [b]) => a.localeCompare(b, 'en'));
  lock.packages = Object.fromEntries([[root, self], ...rest]);
  writeFileSync(lockFile, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(`added to package-lock.json: ${missing.join(', ')}`);
} else {
  console.log(`package-lock.json lacks ${missing.join(', ')}; run \`node scripts/complete-lock.mjs --write\``);
  process.exitCode = 1;
}
