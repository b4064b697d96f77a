import { EventEmitter } from 'node:events';
import { OpenlineError } from '@openline/proto/errors';
import {
  type Dispatch,
  DispatchState,
  OutputKind,
  type PreviewRunResponse,
  type ReadOutputRequest,
  type ReadOutputResponse,
  type Run,
  type RunSpec,
  type SubmitRunRequest,
  type WatchRunResponse,
} from '@openline/proto/operator';
import { dispatchMessage, runMessage } from './messages.ts';

const { DISPATCH_STATE_CANCELLED, DISPATCH_STATE_SENT, DISPATCH_STATE_SUCCEEDED } = DispatchState;

interface FakeRun {
  readonly id: string;
  readonly spec: RunSpec;
  readonly createdUnixMs: bigint;
  readonly dispatches: Map<string, Dispatch>;
  readonly output: ReadOutputResponse[];
  readonly changed: EventEmitter;
  cancelledBy: string;
  retryOf: string;
}

/** Runs whose dispatches a test moves by hand. */
export interface FakeRuns {
  /** Ids of the runs to come, instead of run-1, run-2, … */
  newId?: (() => string) | undefined;
  readonly submitted: SubmitRunRequest[];
  /** Agents that a new run gets; default two. */
  targets: string[];
  /** Told each new run. */
  onSubmit: (runId: string) => void;
  set(runId: string, dispatch: Dispatch): void;
  write(runId: string, agent: string, text: string | Buffer, kind?: OutputKind, droppedBytes?: bigint): void;
  isWatched(runId: string): boolean;
  submit(request: SubmitRunRequest): { run: Run; existing: boolean };
  preview(spec: RunSpec | undefined): PreviewRunResponse;
  get(runId: string): { run: Run; dispatches: Dispatch[] };
  list(): Run[];
  watch(runId: string, send: (response: WatchRunResponse) => void, signal: AbortSignal): Promise<void>;
  output(request: ReadOutputRequest, send: (response: ReadOutputResponse) => void, signal: AbortSignal): Promise<void>;
  cancel(runId: string): Run;
  retry(runId: string): Run;
}

export function createRuns(): FakeRuns {
  const all = new Map<string, FakeRun>();
  const find = (runId: string): FakeRun => {
    const run = all.get(runId);
    if (run === undefined) throw new OpenlineError('RUN_UNKNOWN', `there is no run ${runId}`);
    return run;
  };
  const ended = (run: FakeRun) => [...run.dispatches.values()].every(({ endedUnixMs }) => endedUnixMs > 0n);
  const message = (run: FakeRun): Run =>
    runMessage([...run.dispatches.values()], {
      id: run.id,
      spec: run.spec,
      taskName: run.spec.task.split('/')[1] ?? '',
      createdUnixMs: run.createdUnixMs,
      ...(ended(run) ? { endedUnixMs: run.createdUnixMs + 1_500n } : {}),
      cancelledBy: run.cancelledBy,
      retryOf: run.retryOf,
    });
  const create = (spec: RunSpec, names: readonly string[], retryOf = ''): FakeRun => {
    const run: FakeRun = {
      id: runs.newId?.() ?? `run-${all.size + 1}`,
      spec,
      createdUnixMs: BigInt(Date.now()),
      dispatches: new Map(names.map((name) => [name, dispatchMessage(name, DISPATCH_STATE_SENT)])),
      output: [],
      changed: new EventEmitter().setMaxListeners(100),
      cancelledBy: '',
      retryOf,
    };
    all.set(run.id, run);
    setImmediate(() => runs.onSubmit(run.id));
    return run;
  };
  const next = (run: FakeRun, signal: AbortSignal) =>
    new Promise<void>((resolve) => {
      run.changed.once('change', resolve);
      signal.addEventListener('abort', () => resolve(), { once: true });
    });

  const runs: FakeRuns = {
    submitted: [],
    targets: ['web-1', 'web-2'],
    onSubmit: () => {},
    set(runId, dispatch) {
      const run = find(runId);
      run.dispatches.set(dispatch.agentName, dispatch);
      run.changed.emit('change');
    },
    write(runId, agent, text, kind = OutputKind.OUTPUT_KIND_STDOUT, droppedBytes = 0n) {
      const run = find(runId);
      const data = Buffer.from(text);
      const mine = run.output.filter((part) => part.agentName === agent);
      const offset = BigInt(mine.reduce((sum, part) => sum + part.data.length, 0));
      run.output.push({ agentId: `id-${agent}`, agentName: agent, offset, kind, data, droppedBytes });
      run.changed.emit('change');
    },
    isWatched: (runId) => find(runId).changed.listenerCount('change') > 0,
    submit(request) {
      const same = runs.submitted.findIndex((each) => each.idempotencyKey === request.idempotencyKey);
      if (same >= 0) return { run: message(find(`run-${same + 1}`)), existing: true };
      if (request.spec === undefined) throw new OpenlineError('REQUEST_INVALID', 'no spec');
      if (request.spec.targets === 'name=nobody') throw new OpenlineError('NO_TARGETS', 'no agent matches name=nobody');
      runs.submitted.push(request);
      return { run: message(create(request.spec, runs.targets)), existing: false };
    },
    preview: (spec) => ({
      task: spec?.task ?? '',
      packVersion: '1.0.0',
      parametersJson: '{"count":3}',
      targets: runs.targets.map((name, index) => ({
        agentId: `id-${name}`,
        agentName: name,
        online: index === 0,
        holdsPack: true,
        parametersFrom: Object.fromEntries(
          Object.keys(spec?.parametersFrom ?? {}).map((key) => [key, `${key} of ${name}`]),
        ),
        wouldRejectCode: index === 0 ? '' : 'AGENT_OFFLINE',
        wouldRejectReason: index === 0 ? '' : 'the agent is not connected',
      })),
    }),
    get(runId) {
      const run = find(runId);
      return { run: message(run), dispatches: [...run.dispatches.values()] };
    },
    list: () => [...all.values()].reverse().map(message),
    async watch(runId, send, signal) {
      const run = find(runId);
      for (;;) {
        const now = message(run);
        send({ run: now, dispatches: [...run.dispatches.values()] });
        if (now.endedUnixMs > 0n) return;
        await next(run, signal);
        if (signal.aborted) return;
      }
    },
    async output(request, send, signal) {
      const run = find(request.runId);
      let at = 0;
      for (;;) {
        for (; at < run.output.length; at += 1) {
          const part = run.output[at];
          if (part === undefined || (request.agentIds.length > 0 && !request.agentIds.includes(part.agentId))) continue;
          const skip = Number(request.fromOffset > part.offset ? request.fromOffset - part.offset : 0n);
          if (skip < part.data.length || part.droppedBytes > 0n) {
            send({ ...part, offset: part.offset + BigInt(skip), data: part.data.subarray(skip) });
          }
        }
        if (!request.follow || message(run).endedUnixMs > 0n || signal.aborted) return;
        await next(run, signal);
      }
    },
    cancel(runId) {
      const run = find(runId);
      run.cancelledBy = 'admin';
      for (const [name, dispatch] of run.dispatches) {
        if (dispatch.endedUnixMs === 0n)
          run.dispatches.set(
            name,
            dispatchMessage(name, DISPATCH_STATE_CANCELLED, {
              reasonCode: 'TASK_CANCELLED',
              reason: 'cancelled by admin',
            }),
          );
      }
      run.changed.emit('change');
      return message(run);
    },
    retry(runId) {
      const run = find(runId);
      const names = [...run.dispatches]
        .filter(([, { state }]) => state !== DISPATCH_STATE_SUCCEEDED)
        .map(([name]) => name);
      if (names.length === 0) throw new OpenlineError('REQUEST_INVALID', 'every target succeeded');
      return message(create(run.spec, names, runId));
    },
  };
  return runs;
}
