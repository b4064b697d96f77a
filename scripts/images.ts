// `npm run images -- [--tag TAG] [--registry HOST/PATH] [--base IMAGE] [--platform LIST]`: builds the images of server and agent with the docker
// on the PATH, whichever it is. With more than one platform it needs buildx.
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
    base: { type: 'string' },
    platform: { type: 'string' },
  },
});

for (const component of COMPONENTS) {
  const name = `${values.registry === undefined ? '' : `${values.registry}/`}openline/${component}:${values.tag}`;
  const args = [
    ...(values.platform?.includes(',') ? ['buildx', 'build'] : ['build']),
    ...['--file', join(component, 'Dockerfile'), '--tag', name],
    ...['--build-arg', `VERSION=${version}`, '--build-arg', `REVISION=${revision()}`],
    ...(values.base === undefined ? [] : ['--build-arg', `BASE=${values.base}`]),
    ...(values.platform === undefined ? [] : ['--platform', values.platform]),
    '.',
  ];
  console.log(`building ${name}`);
  const { status, error } = spawnSync('docker', args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
  if (error !== undefined) {
    console.error(`docker could not be started: ${error.message}`);
    process.exit(2);
  }
  if (status !== 0) process.exit(status ?? 1);
}

function revision(): string {
  try {
    return execFileSync('git', ['rev-parse', 'HEAD'], { cwd: ROOT, encoding: 'utf8' }).trim();
  } catch {
    return 'unknown'; // not a checkout
  }
}
