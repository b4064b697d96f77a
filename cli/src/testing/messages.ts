import { Agent, Dispatch, DispatchState, Pack, Run, WatchRunResponse } from '@openline/proto/operator';

/** Messages as the server sends them; what a test does not name has a plain value. */

export const T0_MS = Date.UTC(2026, 0, 2, 3, 4, 5);

type Partly<T> = Partial<{ [K in keyof T]: T[K] }>;

export function dispatchMessage(name: string, state: DispatchState, more: Partly<Dispatch> = {}): Dispatch {
  const ended = state >= DispatchState.DISPATCH_STATE_SUCCEEDED;
  const started = state >= DispatchState.DISPATCH_STATE_RUNNING && state <= DispatchState.DISPATCH_STATE_TIMED_OUT;
  return {
    ...Dispatch.create(),
    agentId: `id-${name}`,
    agentName: name,
    state,
    queuedUnixMs: BigInt(T0_MS),
    startedUnixMs: started ? BigInt(T0_MS + 10) : 0n,
    endedUnixMs: ended ? BigInt(T0_MS + 1_210) : 0n,
    agentOnline: true,
    view: '',
    ...(state === DispatchState.DISPATCH_STATE_SUCCEEDED ? { exitCode: 0 } : {}),
    ...more,
  };
}

export function runMessage(dispatches: readonly Dispatch[], more: Partly<Run> = {}): Run {
  const counts = new Map<DispatchState, number>();
  for (const { state } of dispatches) counts.set(state, (counts.get(state) ?? 0) + 1);
  const ended = dispatches.every(({ state }) => state >= DispatchState.DISPATCH_STATE_SUCCEEDED);
  return {
    ...Run.create(),
    id: 'run-1',
    packName: 'linux',
    packVersion: '1.0.0',
    taskName: 'uptime',
    requestedBy: 'admin',
    createdUnixMs: BigInt(T0_MS),
    endedUnixMs: ended ? BigInt(T0_MS + 1_500) : 0n,
    counts: [...counts].map(([state, count]) => ({ state, count })),
    targetCount: dispatches.length,
    ...more,
  };
}

export function watchMessage(dispatches: readonly Dispatch[], more: Partly<Run> = {}): WatchRunResponse {
  return { ...WatchRunResponse.create(), run: runMessage(dispatches, more), dispatches: [...dispatches] };
}

export function agentMessage(name: string, more: Partly<Agent> = {}): Agent {
  return {
    ...Agent.create(),
    id: `id-${name}`,
    name,
    online: true,
    labels: { role: 'web' },
    facts: { os: 'linux' },
    version: '0.1.0',
    ...more,
  };
}

export function aPack(more: Partly<Pack> = {}): Pack {
  return {
    ...Pack.create(),
    name: 'linux',
    version: '1.0.0',
    digest: Buffer.alloc(32, 7),
    title: 'Linux administration',
    keyId: 'ABCDEF',
    connectedAgents: 1,
    readyAgents: 1,
    tasks: [task('uptime', 'read'), task('reboot', 'dangerous')],
    ruleCount: 1,
    ...more,
  };
}

function task(name: string, risk: string) {
  return {
    name,
    title: `${name} of the machine`,
    description: '',
    risk,
    timeoutMs: 30_000,
    parametersSchemaJson: JSON.stringify({
      type: 'object',
      properties: { count: { type: 'integer', default: 3, description: 'how many' }, path: { type: 'string' } },
    }),
    requiresJson: '{}',
    runner: 'command: uptime',
    examplesJson: ['{"count": 5}'],
  };
}
