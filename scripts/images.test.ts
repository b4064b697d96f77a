import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dockerCalls, FLAGS, parseOptions } from './images.ts';

const source = { version: '1.2.3', revision: 'abc', created: '2026-01-02T03:04:05+01:00' };
const calls = (...args: string[]) => dockerCalls('agent', parseOptions(args, '1.2.3'), source);
const [build = []] = calls();

describe("images of docker's own platform", () => {
  it('are built by a plain docker build, labelled with version, commit and its time', () => {
    const labels = ['VERSION=1.2.3', 'REVISION=abc', 'CREATED=2026-01-02T03:04:05+01:00'];
    expect(calls()).toEqual([
      [
        'build',
        '--file',
        'agent/Dockerfile',
        '--tag',
        'openline/agent:1.2.3',
        ...labels.flatMap((label) => ['--build-arg', label]),
        '.',
      ],
    ]);
  });

  it('are tagged, pinned to bases and pushed as told', () => {
    const [built, pushed, ...more] = calls(
      '--tag',
      'x',
      '--registry',
      'r.example/p',
      '--push',
      '--base',
      'b@sha256:1',
      '--runtime',
      'r@sha256:2',
    );
    expect(built?.join(' ')).toMatch(
      / --tag r\.example\/p\/openline\/agent:x .* BASE=b@sha256:1 --build-arg RUNTIME=r@sha256:2 \.$/,
    );
    expect([pushed, more]).toEqual([['push', 'r.example/p/openline/agent:x'], []]);
  });
});

it('docs/images.md explains each flag', () => {
  const page = readFileSync(join(import.meta.dirname, '..', 'docs', 'images.md'), 'utf8');
  const explained = Array.from(page.matchAll(/^\| `--(\w+)` \|/gm), ([, name]) => name);
  expect(explained.sort()).toEqual(Object.keys(FLAGS).sort());
});

describe('a platform', () => {
  it('of another kind needs no buildx', () => {
    expect(calls('--platform', 'linux/arm64')).toEqual([[...build.slice(0, -1), '--platform', 'linux/arm64', '.']]);
  });

  it('beside a second one takes buildx, which pushes both at once', () => {
    const both = calls('--push', '--registry', 'r', '--platform', 'linux/amd64, linux/arm64');
    expect(both.map((call) => call.slice(0, 3))).toEqual([['buildx', 'build', '--push']]);
    expect(both[0]?.slice(-3)).toEqual(['--platform', 'linux/amd64,linux/arm64', '.']);
  });

  it('that is named twice is one', () => {
    expect(parseOptions(['--platform', 'linux/arm64,linux/arm64'], '1').platforms).toEqual(['linux/arm64']);
  });

  it.each(['arm64', 'linux/arm/v7', 'linux/amd64,', ''])('"%s" is refused with those that there are', (list) => {
    expect(() => parseOptions(['--platform', list, '--push'], '1')).toThrow(
      /--platform takes linux\/amd64 and linux\/arm64/,
    );
  });
});

describe('npm run images', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'openline-images-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  /** @param docker the lines of a shell script that stands for docker; none: there is none */
  function run(docker: string | undefined, ...args: string[]) {
    if (docker !== undefined) writeFileSync(join(root, 'docker'), `#!/bin/sh\n${docker}\n`, { mode: 0o755 });
    const env = { PATH: `${root}:/nowhere`, LOG: join(root, 'log') };
    return spawnSync(process.execPath, [join(import.meta.dirname, 'images.ts'), ...args], { encoding: 'utf8', env });
  }
  const log = () => readFileSync(join(root, 'log'), 'utf8');

  it('builds server and agent, and asks for BuildKit where a platform is named', () => {
    const fake = 'echo "BuildKit=$DOCKER_BUILDKIT $1 $3" >> "$LOG"';
    expect(run(fake).status).toBe(0);
    expect(run(fake, '--platform', 'linux/arm64').status).toBe(0);
    const each = (buildKit: string) =>
      `BuildKit=${buildKit} build server/Dockerfile\nBuildKit=${buildKit} build agent/Dockerfile\n`;
    expect(log()).toBe(each('') + each('1'));
  });

  it('ends as docker ended, before the next image, and says what a foreign platform needs', () => {
    const { status, stderr } = run('echo once >> "$LOG"; exit 7', '--platform', 'linux/arm64');
    expect([status, log()]).toEqual([7, 'once\n']);
    expect(stderr).toMatch(/"exec format error", docker’s machine lacks an emulator for linux\/arm64/);
  });

  it.each([
    ['a flag that it does not know', 'exit 9', ['--platfrom', 'linux/arm64'], /Unknown option '--platfrom'/],
    [
      'several platforms without a registry',
      'exit 9',
      ['--platform', 'linux/amd64,linux/arm64'],
      /live in a registry only/,
    ],
    [
      'several platforms without buildx',
      'exit 9',
      ['--push', '--platform', 'linux/amd64,linux/arm64'],
      /buildx.*install it/,
    ],
    ['no docker', undefined, [], /docker could not be started/],
  ])('refuses %s in a sentence', (_title, fake, args, message) => {
    const { status, stderr } = run(fake, ...args);
    expect(status).toBe(2);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});
