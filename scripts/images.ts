// `npm run images -- [--tag TAG] [--registry HOST/PATH] [--push] [--base IMAGE] [--runtime IMAGE] [--platform LIST]`: builds the images of server and agent
// with the docker on the PATH, whichever it is. More than one platform (`linux/amd64,linux/arm64`) takes buildx, and a registry to push to.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const ROOT = join(import.meta.dirname, '..');
const COMPONENTS = ['server', 'agent'];

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
const { values } = parseArgs({
  options: {
    tag: { type: 'string', default: String(version) },
    registry: { type: 'string' },
    push: { type: 'boolean', default: false },
    /** With Node in it, whose program is taken. */
    base: { type: 'string' },
    /** What the images are made on. */
    runtime: { type: 'string' },
    platform: { type: 'string' },
  },
});

const severalPlatforms = values.platform?.includes(',') === true;
if (severalPlatforms && !values.push) {
  console.error('images for several platforms live in a registry only: give --registry and --push, or one platform');
  process.exit(2);
}
for (const component of COMPONENTS) {
  const name = `${values.registry === undefined ? '' : `${values.registry}/`}openline/${component}:${values.tag}`;
  const args = [
    ...(severalPlatforms ? ['buildx', 'build', '--push'] : ['build']),
    ...['--file', join(component, 'Dockerfile'), '--tag', name],
    ...['--build-arg', `VERSION=${version}`, '--build-arg', `REVISION=${git('rev-parse', 'HEAD') ?? 'unknown'}`],
    // Of the commit, so that the same commit makes the same image.
    ...['--build-arg', `CREATED=${git('show', '--no-patch', '--format=%cI', 'HEAD') ?? '1970-01-01T00:00:00Z'}`],
    ...(values.base === undefined ? [] : ['--build-arg', `BASE=${values.base}`]),
    ...(values.runtime === undefined ? [] : ['--build-arg', `RUNTIME=${values.runtime}`]),
    ...(values.platform === undefined ? [] : ['--platform', values.platform]),
    '.',
  ];
  console.log(`building ${name}`);
  docker(args);
  if (values.push && !severalPlatforms) docker(['push', name]);
}

function docker(args: readonly string[]): void {
  const { status, error } = spawnSync('docker', args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
  if (error !== undefined) {
    console.error(`docker could not be started: ${error.message}`);
    process.exit(2);
  }
  if (status !== 0) process.exit(status ?? 1);
}

/** @returns undefined: this is no checkout */
function git(...args: string[]): string | undefined {
  try {
    return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}
