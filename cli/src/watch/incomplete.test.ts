import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DispatchState } from '@openline/proto/operator';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type FakeServer, startFakeServer } from '../testing/fake-server.ts';
import { dispatchMessage } from '../testing/messages.ts';
import { openline } from '../testing/process.ts';
import { createStandstill } from './standstill.ts';

describe('output of which the result says that there is more', () => {
  let server: FakeServer;
  let env: Record<string, string>;
  let dir: string;
  beforeAll(async () => {
    server = await startFakeServer();
    dir = mkdtempSync(join(tmpdir(), 'openline-cli-incomplete-'));
    writeFileSync(join(dir, 'ca.pem'), server.tls.caPem);
    env = { OPENLINE_SERVER: server.address, OPENLINE_TOKEN: server.token, OPENLINE_CA: join(dir, 'ca.pem') };
    server.runs.targets = ['web-1'];
    server.runs.onSubmit = (runId) => {
      server.runs.write(runId, 'web-1', 'half of it\n');
      server.runs.set(runId, dispatchMessage('web-1', DispatchState.DISPATCH_STATE_SUCCEEDED, { outputBytes: 2000n }));
    };
  });
  afterAll(async () => {
    rmSync(dir, { recursive: true, force: true });
    await server.stop();
  });

  const missing =
    /output may be incomplete: 11 of 2,000 bytes of web-1 have come\n→ .*runs output run-\d+ --target web-1 --from 11`\n/;

  it.each([
    ['followed', ['--follow'], 'half of it\n'],
    ['shown at the end', [], /\n\nhalf of it\n$/],
    ['in a document', ['--show-output', '-o', 'json'], /"stdout": "half of it\\n"/],
  ])('is said to be short when it is %s', async (_, flags, shown) => {
    const { code, stdout, stderr } = await openline(['run', 'linux/uptime', '--on', 'all', ...flags], env).end;
    expect(stderr).toMatch(missing);
    expect(stdout).toMatch(shown);
    // How the run went is another question.
    expect(code).toBe(0);
  });

  it('is said to be short when it is asked for, and the exit code is 1', async () => {
    const { stdout: id } = await openline(['run', 'linux/uptime', '--on', 'all', '--detach'], env).end;
    for (const flags of [[], ['--follow'], ['--from', '11']]) {
      const { code, stdout, stderr } = await openline(['runs', 'output', id.trim(), ...flags], env).end;
      expect([code, stdout]).toEqual([1, flags.includes('--from') ? '' : 'half of it\n']);
      expect(stderr).toMatch(missing);
    }
  });
});

describe('a standstill', () => {
  beforeAll(() => void vi.useFakeTimers());
  afterAll(() => void vi.useRealTimers());
  afterEach(() => vi.clearAllTimers());

  /** What comes is given by hand. */
  function source() {
    let give: (part: number) => void = () => {};
    async function* parts() {
      for (;;) yield await new Promise<number>((resolve) => (give = resolve));
    }
    return { parts: parts(), give: (part: number) => give(part) };
  }

  it('is when nothing came for so long, counted from when it should have been there', async () => {
    const { parts, give } = source();
    const standstill = createStandstill(1_000);
    const watched = standstill.watch(parts);
    const first = watched.next();
    await vi.advanceTimersByTimeAsync(60_000);
    standstill.begin();
    await vi.advanceTimersByTimeAsync(999);
    give(1);
    expect((await first).value).toBe(1);
    void watched.next();
    await vi.advanceTimersByTimeAsync(999);
    expect(standstill.signal.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(standstill.signal.aborted).toBe(true);
  });

  it('is not when what came waits for its reader', async () => {
    const { parts, give } = source();
    const standstill = createStandstill(1_000);
    standstill.begin();
    const watched = standstill.watch(parts);
    const first = watched.next();
    await vi.advanceTimersByTimeAsync(0);
    give(1);
    await first;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(standstill.signal.aborted).toBe(false);
  });
});
