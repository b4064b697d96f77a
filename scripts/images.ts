// `npm run images`: builds the images of server and agent with the docker on the PATH, whichever it is. Several platforms take buildx, and a registry to push to.
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const ROOT = join(import.meta.dirname, '..');
const COMPONENTS = ['server', 'agent'];

/** For which there are a Node 24 and an embedded PostgreSQL. */
const PLATFORMS = ['linux/amd64', 'linux/arm64'] as const;
export type Platform = (typeof PLATFORMS)[number];

/** What they mean is said in docs/images.md. */
export const FLAGS = {
  tag: { type: 'string' },
  registry: { type: 'string' },
  push: { type: 'boolean', default: false },
  platform: { type: 'string' },
  base: { type: 'string' },
  runtime: { type: 'string' },
} as const;

export interface Options {
  readonly tag: string;
  /** HOST/PATH; without: docker's own names. */
  readonly registry?: string;
  readonly push: boolean;
  /** With Node in it, whose program is taken. */
  readonly base?: string;
  /** What the images are made on. */
  readonly runtime?: string;
  /** None: docker's own. */
  readonly platforms: readonly Platform[];
}

/** What the labels say. */
export interface Source {
  readonly version: string;
  readonly revision: string;
  /** RFC 3339; of the commit, so that the same commit makes the same image. */
  readonly created: string;
}

/** A call that cannot be carried out, or a docker that cannot: the message says what to do. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
}

/** @throws Refusal a flag that is not known, a platform that no image is made for, several of them without a registry */
export function parseOptions(args: readonly string[], version: string): Options {
  const { platform, ...values } = parseFlags(args);
  const platforms = [...new Set(platform?.split(',').map(parsePlatform))];
  if (platforms.length > 1 && !values.push) {
    throw new Refusal(
      'images for several platforms live in a registry only: give --registry and --push, or one platform',
    );
  }
  return { tag: version, ...values, platforms };
}

function parseFlags(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: FLAGS }).values;
  } catch (error) {
    throw new Refusal(error instanceof Error ? error.message : String(error));
  }
}

function parsePlatform(text: string): Platform {
  const platform = PLATFORMS.find((known) => known === text.trim());
  if (platform === undefined) {
    throw new Refusal(`no image is made for the platform "${text}": --platform takes ${PLATFORMS.join(' and ')}`);
  }
  return platform;
}

/** What docker is called with, in this order. */
export function dockerCalls(component: string, options: Options, source: Source): string[][] {
  const name = imageName(component, options);
  const several = options.platforms.length > 1;
  const build = [
    ...(several ? ['buildx', 'build', '--push'] : ['build']),
    ...['--file', join(component, 'Dockerfile'), '--tag', name],
    ...['--build-arg', `VERSION=${source.version}`, '--build-arg', `REVISION=${source.revision}`],
    ...['--build-arg', `CREATED=${source.created}`],
    ...(options.base === undefined ? [] : ['--build-arg', `BASE=${options.base}`]),
    ...(options.runtime === undefined ? [] : ['--build-arg', `RUNTIME=${options.runtime}`]),
    ...(options.platforms.length === 0 ? [] : ['--platform', options.platforms.join(',')]),
    '.',
  ];
  return [build, ...(options.push && !several ? [['push', name]] : [])];
}

function imageName(component: string, { registry, tag }: Options): string {
  return `${registry === undefined ? '' : `${registry}/`}openline/${component}:${tag}`;
}

function build(args: readonly string[]): void {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const options = parseOptions(args, String(version));
  const source = {
    version: String(version),
    revision: git('rev-parse', 'HEAD') ?? 'unknown',
    created: git('show', '--no-patch', '--format=%cI', 'HEAD') ?? '1970-01-01T00:00:00Z',
  };
  if (options.platforms.length > 1 && spawnSync('docker', ['buildx', 'version']).status !== 0) {
    throw new Refusal(
      "images for several platforms take docker's plugin buildx, which does not answer: install it (docker-buildx-plugin, docker-buildx), or build for one --platform at a time",
    );
  }
  for (const component of COMPONENTS) {
    console.log(`building ${imageName(component, options)}`);
    for (const call of dockerCalls(component, options, source)) docker(call, options.platforms);
  }
}

/** Ends this process as docker ended, if it failed. */
function docker(args: readonly string[], platforms: readonly Platform[]): void {
  // Another platform than docker's own takes BuildKit, which docker 20 uses only where it is told to.
  const env = platforms.length > 0 ? { DOCKER_BUILDKIT: '1', ...process.env } : process.env;
  const { status, error } = spawnSync('docker', args, { cwd: ROOT, env, stdio: ['ignore', 'inherit', 'inherit'] });
  if (error !== undefined) throw new Refusal(`docker could not be started: ${error.message}`);
  if (status === 0) return;
  if (platforms.length > 0) {
    console.error(
      `openline: where the error is "exec format error", docker’s machine lacks an emulator for ${platforms.join(' or ')} (docs/images.md)`,
    );
  }
  process.exit(status ?? 1);
}

/** @returns undefined: this is no checkout */
function git(...args: string[]): string | undefined {
  try {
    return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  } catch {
    return undefined;
  }
}

if (import.meta.main) {
  try {
    build(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    console.error(`openline: ${error.message}`);
    process.exitCode = 2;
  }
}
