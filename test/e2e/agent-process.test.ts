import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  canMount,
  cleanup,
  eventually,
  markerDir,
  packsHeld,
  pushPacks,
  scratchDir,
  signWithSiteKey,
  startAgent,
  startProcess,
  startServer,
  stateName,
  type TestServer,
} from '../harness/index.ts';
import { AGENT } from '../harness/paths.ts';

const PACK = `apiVersion: openline.dev/v1
kind: Pack
metadata: { name: left, version: 1.0.0, title: Left, description: For a test. }
tasks:
  slow-end:
    title: Slow end
    description: Takes longer to end than an agent without a task.
    run:
      script:
        interpreter: bash
        source: |
          trap 'sleep 21; exit 7' TERM
          : >../../../begun
          while :; do sleep 0.1; done
  mount:
    title: Mount
    description: Leaves something mounted in its work directory.
    run:
      script:
        interpreter: bash
        source: |
          set -eu
          mkdir disk
          mount -t tmpfs tmpfs disk
          echo precious >disk/data
          echo "$PWD/disk"
`;

let dir: string;
let server: TestServer;
let markers: Awaited<ReturnType<typeof markerDir>>;
beforeAll(async () => {
  dir = scratchDir('agent-process');
  markers = await markerDir(dir);
  server = await startServer({ dir, flags: ['--heartbeat-interval=500ms', '--offline-after=5s'] });
  await pushPacks(server);
  const content = Buffer.from(PACK);
  await server.operator.pushPack(content, await signWithSiteKey(server, content), 'left.yaml');
});
afterAll(cleanup);

/** A run whose task has begun at this agent. */
async function running(agentName: string, ms: number): Promise<string> {
  const { id } = await server.operator.submit('test/marker', {
    targets: `name=${agentName}`,
    parameters: { dir: markers.dir, ms },
    wait: true,
  });
  await eventually(async () => (await markers.starts()).some(({ runId }) => runId === id), { what: 'its start' });
  return id;
}

const endOf = async (runId: string) => (await server.operator.ended(runId)).dispatches[0];

describe('the process of an agent', () => {
  it('ends in good order when its terminal is closed', async () => {
    const agent = await startAgent({ dir, server, name: 'hangup' });
    await packsHeld(server);
    const run = await running(agent.name, 60_000);
    agent.process.signal('SIGHUP');
    agent.process.signal('SIGHUP');
    expect(await agent.process.exited).toEqual({ code: 0, signal: null });
    const ended = await endOf(run);
    expect([stateName(ended?.state ?? 0), ended?.reasonCode]).toEqual(['failed', 'AGENT_STOPPED']);
  });

  it('waits at its end for as long as its tasks have to end', async () => {
    const agent = await startAgent({ dir, server, name: 'graceful', flags: ['--tasks-kill-grace=60s'] });
    await packsHeld(server);
    const { id } = await server.operator.submit('left/slow-end', { targets: 'name=graceful' });
    await eventually(() => existsSync(join(dir, 'begun')), { what: 'its start' });
    await agent.stop(60_000);
    const ended = await endOf(id);
    expect([stateName(ended?.state ?? 0), ended?.reasonCode, ended?.exitCode]).toEqual(['failed', 'AGENT_STOPPED', 7]);
  });

  it('opens no debugger to other users of the machine', async () => {
    const agent = await startAgent({ dir, server, name: 'debugged' });
    agent.process.signal('SIGUSR1');
    await eventually(() => agent.process.lines.some((line) => /SIGUSR1|Debugger/.test(line)), { what: 'a word of it' });
    expect(agent.process.tail()).not.toContain('Debugger');
    await agent.stop();
  });

  it('nor does that of a server', async () => {
    server.process.signal('SIGUSR1');
    const line = await eventually(() => server.process.lines.find((one) => /SIGUSR1|Debugger/.test(one)), {
      what: 'a word of it',
    });
    expect(line).not.toContain('Debugger');
  });
  it.each([
    ['whose reader has gone', '> >(head -n 1 >/dev/null)'],
    ['on a full disk', '>/dev/full'],
  ])('goes on with its tasks beside a log %s', async (_, redirection) => {
    const name = redirection.includes('full') ? 'full' : 'unread';
    const agent = startProcess('bash', [
      '-c',
      `exec "$@" ${redirection}`,
      'bash',
      process.execPath,
      AGENT,
      `--data-dir=${join(dir, name)}`,
      `--server=localhost:${server.agentPort}`,
      `--join-token=${await server.operator.joinToken()}`,
      `--ca-hash=${server.caHash}`,
      `--name=${name}`,
      '--events-sources=agent',
    ]);
    await eventually(async () => (await server.operator.agents()).some((one) => one.name === name && one.online), {
      what: `${name} to connect`,
      timeoutMs: 30_000,
    });
    await packsHeld(server);
    const run = await running(name, 1_000);
    // Each is a line of its log.
    for (let i = 0; i < 3; i++) agent.signal('SIGUSR1');
    expect(stateName((await endOf(run))?.state ?? 0)).toBe('succeeded');
    expect(agent.hasExited()).toBe(false);
    await agent.stop();
  });

  it.skipIf(!canMount())(
    'starts again where a task left something mounted, and takes away nothing of that',
    async () => {
      const agent = await startAgent({ dir, server, name: 'mounted' });
      await packsHeld(server);
      const run = await server.operator.run('left/mount', { targets: 'name=mounted' });
      const [mounted] = execFileSync('find', [agent.dataDir, '-name', 'disk'], { encoding: 'utf8' }).split('\n');
      if (mounted === undefined) throw new Error(`nothing is mounted by ${JSON.stringify(run)}`);
      try {
        await agent.stop();
        const again = await agent.restart();
        expect(readFileSync(join(mounted, 'data'), 'utf8')).toBe('precious\n');
        await again.stop();
      } finally {
        execFileSync('umount', [mounted]);
      }
    },
  );
});
