import { expect, it } from 'vitest';
import { createRunHub } from './hub.ts';
import { createRunReader } from './run-reader.ts';
import type { DispatchView, RunView } from './run-service.ts';

const at = new Date(0);
const openRun: RunView = {
  id: 'run',
  spec: {
    task: 'utility/ping',
    targets: 'all',
    parameters: {},
    timeoutMs: undefined,
    ttlMs: undefined,
    offline: 'fail',
  },
  parametersJson: '{}',
  packName: 'utility',
  packVersion: '1.0.0',
  taskName: 'ping',
  timeoutMs: 0,
  ttlMs: 0,
  requestedBy: 'admin',
  createdAt: at,
  expiresAt: at,
  endedAt: undefined,
  cancelledBy: '',
  retryOf: undefined,
  targetCount: 2,
  counts: new Map(),
};

const dispatch = (agentId: string, state: 'sent' | 'succeeded'): DispatchView => ({
  runId: 'run',
  agentId,
  agentName: agentId,
  state,
  reasonCode: '',
  reason: '',
  exitCode: undefined,
  signal: '',
  queuedAt: at,
  sentAt: at,
  acceptedAt: undefined,
  startedAt: undefined,
  endedAt: state === 'sent' ? undefined : at,
  progressPercent: undefined,
  progressNote: '',
  outputBytes: 0,
  outputDroppedBytes: 0,
  outputStoredBytes: 0,
  agentOnline: true,
  view: '',
  parametersFrom: undefined,
});

it('a watcher sees every target end, also when the end of the run is committed before the ring of its last targets', async () => {
  let run = openRun;
  const stored = new Map([
    ['web-1', dispatch('web-1', 'sent')],
    ['web-2', dispatch('web-2', 'sent')],
  ]);
  const hub = createRunHub();
  const reader = createRunReader({
    hub,
    clock: { sleep: () => Promise.resolve() },
    lines: { isConnected: () => true },
    store: {
      run: async () => run,
      dispatches: async (_run, agentIds) =>
        [...stored.values()].filter((each) => agentIds?.includes(each.agentId) ?? true),
      list: async () => [],
      readOutput: async () => [],
    },
  });

  const seen = new Map<string, string>();
  for await (const message of reader.watch('run', new AbortController().signal)) {
    for (const { agentId, state } of message.dispatches) seen.set(agentId, state);
    if (message.run.endedAt !== undefined) continue;
    for (const agentId of stored.keys()) stored.set(agentId, dispatch(agentId, 'succeeded'));
    run = { ...openRun, endedAt: at };
    hub.publish('run', ['web-1']); // the ring for web-2 is still on its way
  }
  expect(Object.fromEntries(seen)).toEqual({ 'web-1': 'succeeded', 'web-2': 'succeeded' });
});

it('a watcher of a run that ends while it is first read sees every target end', async () => {
  const asOf = ['sent', 'succeeded'] as const;
  let reads = 0;
  const reader = createRunReader({
    hub: createRunHub(),
    clock: { sleep: () => Promise.resolve() },
    lines: { isConnected: () => true },
    store: {
      run: async () => ({ ...openRun, endedAt: at }),
      // The first time a moment before the end, which the run was read after.
      dispatches: async (_run, agentIds) =>
        [dispatch('web-1', asOf[reads++] ?? 'succeeded'), dispatch('web-2', 'succeeded')].filter(
          ({ agentId }) => agentIds?.includes(agentId) ?? true,
        ),
      list: async () => [],
      readOutput: async () => [],
    },
  });
  const seen: string[] = [];
  for await (const { dispatches } of reader.watch('run', new AbortController().signal))
    seen.push(...dispatches.map(({ agentId, state }) => `${agentId} ${state}`).sort());
  expect(seen).toEqual(['web-1 succeeded', 'web-2 succeeded']);
});

it('a reader whose run is groomed meanwhile comes to an end', async () => {
  let reads = 0;
  const reader = createRunReader({
    hub: createRunHub(),
    clock: { sleep: () => Promise.resolve() },
    lines: { isConnected: () => true },
    store: {
      run: async () => ({ ...openRun, endedAt: at }),
      dispatches: async () => [{ ...dispatch('web-1', 'succeeded'), outputBytes: 5, outputStoredBytes: 5 }],
      list: async () => [],
      async readOutput() {
        if (++reads > 10) throw new Error('it reads for ever');
        return [];
      },
    },
  });
  const query = { runId: 'run', agentIds: [], follow: false, fromOffset: 0 };
  for await (const part of reader.readOutput(query, new AbortController().signal)) expect(part).toBeUndefined();
  expect(reads).toBe(1);
});
