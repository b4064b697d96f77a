import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  cleanup,
  eventually,
  packsHeld,
  pushPacks,
  scratchDir,
  startAgent,
  startServer,
  stateName,
  type TestServer,
} from '../harness/index.ts';

const nests = canNest();
if (!nests)
  console.warn('test/e2e/host-access: skipped, as a container in a host of its own takes root and namespaces');

/**
 * Two nests of namespaces on this machine: a "host" with process ids, a name and a /run of its own, and in it a "container" with a name and files of its
 * own, whose agent sees the host's process ids, as that of a pod with hostPID does.
 */
describe.skipIf(!nests)('an agent in a container', () => {
  let server: TestServer;
  let dir: string;

  beforeAll(async () => {
    dir = scratchDir('host-access');
    mkdirSync(join(dir, 'mine'));
    mkdirSync(join(dir, 'host'));
    server = await startServer({ dir });
    await pushPacks(server, [join(import.meta.dirname, '..', '..', 'packs', 'shipped', 'utility.yaml')]);
    await startAgent({
      dir,
      server,
      name: 'full',
      node: nest(),
      flags: ['--host-access=full', '--tasks-kill-grace=500ms'],
    });
    await startAgent({
      dir,
      server,
      name: 'read',
      node: nest(),
      flags: ['--host-access=read', `--host-root=${dir}/host`],
    });
    await startAgent({ dir, server, name: 'none', node: nest(), env: { KUBERNETES_SERVICE_HOST: '192.0.2.1' } });
    await packsHeld(server);
  });
  afterAll(cleanup);

  function nest() {
    const container = `hostname the-container && mount -t tmpfs mine '${dir}/mine' && touch '${dir}/mine/marker' &&
      mount --rbind -o ro / '${dir}/host' && exec "$@"`;
    const host = `hostname the-host && mount -t tmpfs run /run && unshare --mount --uts bash -c "$1" container "\${@:2}" & wait`;
    const enter = [
      'unshare',
      '--pid',
      '--fork',
      '--kill-child',
      '--mount-proc',
      '--uts',
      'bash',
      '-c',
      host,
      'host',
      container,
    ];
    return { host: 'localhost', enter, cut() {}, mend() {} };
  }

  async function shell(agent: string, script: string) {
    const answer = await server.operator.run('utility/shell', { targets: `name=${agent}`, parameters: { script } });
    const [dispatch] = answer.dispatches;
    if (dispatch === undefined) throw new Error('the run has no target');
    const { data } = await server.operator.output(answer.run?.id ?? '', dispatch.agentId);
    return { dispatch, output: data.toString() };
  }

  it('that may reach nothing of its host runs tasks in the container, and says so', async () => {
    const { dispatch, output } = await shell('none', `hostname; ls '${dir}/mine'; echo "$OPENLINE_VIEW"`);
    expect(output).toBe('the-container\nmarker\ncontainer\n');
    expect(dispatch.view).toBe('container');
  });

  it('that may enter its host runs tasks there, and says so', async () => {
    const { dispatch, output } = await shell(
      'full',
      `hostname; ls '${dir}/mine'; cd -- "$OPENLINE_WORK_DIR"; pwd; id -u`,
    );
    expect(output).toMatch(/^the-host\n\/run\/openline\/[0-9a-z-]+\/work\/[0-9a-f-]{36}\n0\n$/);
    expect(dispatch).toMatchObject({ view: 'host', exitCode: 0 });
  });

  it('hands parameters to a task on the host, however large, and has its exit code', async () => {
    const script = `${'# padding\n'.repeat(20_000)}echo "it's $OPENLINE_PARAM_DIRECTORY"; exit 7`;
    const { dispatch, output } = await shell('full', script);
    expect(output).toBe("it's /\n");
    expect(dispatch).toMatchObject({ exitCode: 7, reasonCode: 'TASK_EXIT_CODE' });
  });

  it('ends a task on the host with all its processes, when it is cancelled or takes too long', async () => {
    const script = `trap '' TERM; sleep 300 & echo begun; while :; do sleep 0.1; done`;
    const request = { targets: 'name=full', parameters: { script } };
    const { id } = await server.operator.submit('utility/shell', request);
    const begun = async () => (await server.operator.getRun(id)).dispatches[0];
    await eventually(async () => (await begun())?.outputStoredBytes === 6n, { what: 'the task to begin' });
    await server.operator.cancel(id);
    const [cancelled] = (await server.operator.ended(id)).dispatches;
    expect(cancelled && stateName(cancelled.state)).toBe('cancelled');
    const late = await server.operator.run('utility/shell', { ...request, timeoutMs: 1_000 });
    expect(late.dispatches[0] && stateName(late.dispatches[0].state)).toBe('timed_out');
    const { output } = await shell('full', 'pgrep -fc "^sleep 300" || true');
    expect(output).toBe('0\n');
  });

  it('leaves nothing in the work directory on the host', async () => {
    const { output } = await shell('full', 'ls /run/openline/*/work | wc -l');
    expect(output).toBe('1\n');
  });

  it('that may read its host looks at the host’s files and processes from the container', async () => {
    const { dispatch, output } = await shell(
      'read',
      `hostname; cat "$OPENLINE_HOST_PROC/1/comm"; touch "$OPENLINE_HOST_ROOT/x" 2>&1`,
    );
    expect(output).toMatch(/^the-container\nbash\n.*Read-only file system\n$/);
    expect(dispatch.view).toBe('host-read');
  });

  it('that cannot reach what it is told to does not start', async () => {
    const agent = await startAgent({
      dir,
      server,
      name: 'wrong',
      awaitOnline: false,
      flags: ['--host-access=read', '--host-root=/nonexistent'],
    });
    expect(await agent.process.exited).toMatchObject({ code: 2 });
    expect(agent.process.tail()).toContain('hostAccess: read: there is no /nonexistent/proc/meminfo');
  });

  it('is chosen by what its tasks see', async () => {
    expect((await server.operator.agents('view in (host, host-read)')).map(({ name }) => name).sort()).toEqual([
      'full',
      'read',
    ]);
  });
});

function canNest(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  const script = 'unshare --mount --uts nsenter --target 1 --mount --uts --ipc --net --wd=/proc/1/root/tmp true';
  try {
    execFileSync('unshare', ['--pid', '--fork', '--mount-proc', '--uts', 'sh', '-c', `${script} & wait $!`], {
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}
