import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientReadableStream, ServiceError } from '@grpc/grpc-js';
import { ERROR_CODE_METADATA } from '@openline/proto/errors';
import type { ReadOutputResponse, WatchRunResponse } from '@openline/proto/operator';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { DispatchView, OutputPart } from '../runs/run-service.ts';
import { A_RUN, type Fakes, startTestApi, type TestApi } from './testing.ts';

const open: TestApi[] = [];
async function start(fakes?: Fakes): Promise<TestApi> {
  const api = await startTestApi(fakes);
  open.push(api);
  return api;
}
afterEach(async () => {
  vi.useRealTimers();
  await Promise.all(open.splice(0).map((api) => api.close()));
});

function outcomeOf(stream: ClientReadableStream<unknown>): Promise<string> {
  return new Promise((resolve) => {
    stream.on('error', (error: ServiceError) =>
      resolve(String(error.metadata.get(ERROR_CODE_METADATA)[0] ?? error.code)),
    );
    stream.on('end', () => resolve('OK'));
  });
}

function nextMessage<T>(stream: ClientReadableStream<T>): Promise<T> {
  return new Promise((resolve) => stream.once('data', resolve));
}

/** A run that nobody ends: one message, then silence until the signal. */
function silentWatch() {
  const seen = { started: 0, ended: 0 };
  const runs: Fakes['runs'] = {
    async *watch(_id: string, signal: AbortSignal) {
      seen.started++;
      try {
        yield { run: A_RUN, dispatches: [] };
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      } finally {
        seen.ended++;
      }
    },
  };
  return { seen, runs };
}

const A_PART: OutputPart = {
  agentId: 'a',
  agentName: 'web-1',
  offset: 0,
  stream: 'stdout',
  data: Buffer.alloc(32 * 1024),
  droppedBytes: 0,
};
const READ = { runId: 'run-1', agentIds: [], follow: true, fromOffset: 0n };

describe('a stream', () => {
  it('ends when its items end', async () => {
    const { clients, as, observed } = await start({
      runs: {
        async *readOutput() {
          yield A_PART;
        },
      },
    });
    const { runs } = clients();
    const stream = runs.readOutput(READ, as('viewer'));
    const parts: ReadOutputResponse[] = [];
    stream.on('data', (part) => parts.push(part));
    expect(await outcomeOf(stream)).toBe('OK');
    expect(parts).toMatchObject([{ agentName: 'web-1', offset: 0n, kind: 1 }]);
    expect(observed).toEqual([{ method: 'RunService/ReadOutput', code: 'OK' }]);
  });

  it('lets go of what it reads as soon as its reader has gone', async () => {
    const { seen, runs } = silentWatch();
    const { clients, as, observed } = await start({ runs });
    const stream = clients().runs.watchRun({ runId: 'run-1' }, as('viewer'));
    stream.on('error', () => {});
    await nextMessage(stream);
    stream.cancel();
    await vi.waitFor(() => expect(seen).toEqual({ started: 1, ended: 1 }));
    expect(observed).toEqual([{ method: 'RunService/WatchRun', code: 'CANCELLED' }]);
  });

  it('gives its place back even when what it reads never notices', async () => {
    const { clients, as, observed } = await start({
      runs: {
        async *watch() {
          yield { run: A_RUN, dispatches: [] };
          await new Promise(() => {});
        },
      },
    });
    const { runs } = clients();
    for (let i = 0; i < 70; i++) {
      const stream = runs.watchRun({ runId: 'run-1' }, as('viewer'));
      stream.on('error', () => {});
      await nextMessage(stream);
      stream.cancel();
    }
    await vi.waitFor(() => expect(observed).toHaveLength(70));
    expect(new Set(observed.map(({ code }) => code))).toEqual(new Set(['CANCELLED']));
  });

  it('takes no more than a reader reads, and the reader’s other calls go on', async () => {
    let taken = 0;
    let released = false;
    const { clients, as } = await start({
      runs: {
        async *readOutput() {
          try {
            for (;;) {
              taken++;
              yield A_PART;
            }
          } finally {
            released = true;
          }
        },
      },
    });
    const { runs, access } = clients();
    const stream = runs.readOutput(READ, as('viewer'));
    const ended = outcomeOf(stream);
    await nextMessage(stream);
    stream.pause();
    await sleep(300);
    const takenWhenFull = taken;
    await sleep(200);
    // 16 messages of grpc-js, the client's window of 64 KiB and its own buffers.
    expect(taken).toBe(takenWhenFull);
    expect(taken).toBeLessThan(100);
    await new Promise<void>((resolve, reject) =>
      access.whoAmI({}, as('viewer'), (error) => (error ? reject(error) : resolve())),
    );
    stream.cancel();
    stream.resume();
    expect(await ended).toBe('1');
    await vi.waitFor(() => expect(released).toBe(true));
  });

  it('beyond the sixty-fourth of one token is refused, and another token is not', async () => {
    const { seen, runs } = silentWatch();
    const { clients, as } = await start({ runs });
    const client = clients().runs;
    const streams = Array.from({ length: 64 }, () => client.watchRun({ runId: 'run-1' }, as('viewer')));
    for (const stream of streams) stream.on('error', () => {});
    await Promise.all(streams.map(nextMessage));
    expect(await outcomeOf(client.watchRun({ runId: 'run-1' }, as('viewer')))).toBe('SERVER_BUSY');
    const other = client.watchRun({ runId: 'run-1' }, as('operator'));
    other.on('error', () => {});
    await nextMessage(other);
    for (const stream of [...streams, other]) stream.cancel();
    await vi.waitFor(() => expect(seen.ended).toBe(65));
  });

  it('fails with the code of what went wrong in the middle of it', async () => {
    const { clients, as } = await start({
      runs: {
        async *watch() {
          yield { run: A_RUN, dispatches: [] };
          throw Object.assign(new Error('connection terminated'), { code: '57P01' });
        },
      },
    });
    const stream = clients().runs.watchRun({ runId: 'run-1' }, as('viewer'));
    stream.resume();
    expect(await outcomeOf(stream)).toBe('STORE_UNAVAILABLE');
  });

  it('with an id of nothing is refused as a unary call is', async () => {
    const { clients, as } = await start();
    const stream = clients().runs.watchRun({ runId: '' }, as('viewer'));
    expect(await outcomeOf(stream)).toBe('REQUEST_INVALID');
  });

  it('ends with SERVER_STOPPING when the server is closed', async () => {
    const { seen, runs } = silentWatch();
    const { api, clients, as } = await start({ runs });
    const stream = clients().runs.watchRun({ runId: 'run-1' }, as('viewer'));
    const ended = outcomeOf(stream);
    await nextMessage(stream);
    await api.close(1_000);
    expect(await ended).toBe('SERVER_STOPPING');
    expect(seen.ended).toBe(1);
  });

  it('of a run with many targets begins with all of them, in messages of at most two thousand', async () => {
    const dispatch: DispatchView = {
      runId: 'run-1',
      agentId: 'a',
      agentName: 'web-1',
      state: 'queued',
      reasonCode: '',
      reason: '',
      exitCode: undefined,
      signal: '',
      queuedAt: new Date(1),
      sentAt: undefined,
      acceptedAt: undefined,
      startedAt: undefined,
      endedAt: undefined,
      progressPercent: undefined,
      progressNote: '',
      outputBytes: 0,
      outputDroppedBytes: 0,
      outputStoredBytes: 0,
      agentOnline: true,
      view: '',
      parametersFrom: undefined,
    };
    const { clients, as } = await start({
      runs: {
        async *watch() {
          yield { run: A_RUN, dispatches: Array.from({ length: 4_500 }, () => dispatch) };
        },
      },
    });
    const stream = clients().runs.watchRun({ runId: 'run-1' }, as('viewer'));
    const messages: WatchRunResponse[] = [];
    stream.on('data', (message) => messages.push(message));
    expect(await outcomeOf(stream)).toBe('OK');
    expect(messages.map(({ run, dispatches }) => [run?.id, dispatches.length])).toEqual([
      ['run-1', 2_000],
      ['run-1', 2_000],
      ['run-1', 500],
    ]);
  });

  it('of a token that was revoked meanwhile ends within a minute', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const { runs } = silentWatch();
    const { clients, as, revoked } = await start({ runs });
    const stream = clients().runs.watchRun({ runId: 'run-1' }, as('operator'));
    const ended = outcomeOf(stream);
    await nextMessage(stream);
    vi.advanceTimersByTime(60_000);
    revoked.add('operator');
    vi.advanceTimersByTime(60_000);
    expect(await ended).toBe('UNAUTHENTICATED');
  });
});
