import { createHash } from 'node:crypto';
import { formatDuration } from '@openline/packs/duration';
import { type ErrorCode, OpenlineError } from '@openline/proto/errors';
import { MAX_PARAMETERS_BYTES, MAX_TARGETS, MAX_TTL_MS } from '@openline/proto/limits';
import type { Principal } from '../access/access.ts';
import type { AgentService, Candidate } from '../agents/agents.ts';
import { parseSelector } from '../agents/selector.ts';
import type { AuditLog } from '../audit/audit.ts';
import type { Clock } from '../clock.ts';
import type { PackService, ResolvedTask } from '../packs/pack-service.ts';
import type { DispatchDesk } from './desk.ts';
import { initialState, isEnd, STATES } from './dispatch.ts';
import type { RunHub } from './hub.ts';
import type { AgentLines } from './lines.ts';
import { foresee } from './parameters-from.ts';
import { createRunReader } from './run-reader.ts';
import type { RunService, RunSpec, RunView } from './run-service.ts';
import type { NewDispatch, RunStore, TargetsHold } from './run-store.ts';
import { encodeCancel, encodeTasks } from './wire.ts';

export interface RunServiceDeps {
  readonly store: RunStore;
  readonly desk: DispatchDesk;
  readonly hub: RunHub;
  readonly lines: AgentLines;
  readonly agents: AgentService;
  readonly packs: PackService;
  readonly audit: AuditLog;
  readonly clock: Clock;
  newId(): string;
  /** Those of them that are in maintenance → its id. */
  maintenanceOf(agentIds: readonly string[]): Promise<ReadonlyMap<string, string>>;
  observeSubmit?(targets: number, seconds: number): void;
}

/** What was asked for, checked. */
interface Submission {
  readonly startedMs: number;
  readonly by: Principal;
  readonly spec: RunSpec;
  readonly resolved: ResolvedTask;
  readonly parametersJson: string;
  readonly timeoutMs: number;
  readonly ttlMs: number;
  readonly key: string | undefined;
  readonly requestHash: Buffer;
  readonly retryOf: string | undefined;
}

interface Target {
  readonly candidate: Candidate;
  readonly unfit: Unfit | undefined;
}

const MIN_TIMEOUT_MS = 100;
const MAX_TIMEOUT_MS = 24 * 3600 * 1000;
const MAX_KEY_CHARS = 200;

export function createRunService(deps: RunServiceDeps, config: { readonly defaultTtlMs: number }): RunService {
  const { store, desk, hub, lines, agents, packs, audit, clock } = deps;
  const reader = createRunReader({ store, hub, lines, clock });

  async function fitting(targets: string | readonly string[], resolved: ResolvedTask): Promise<Target[]> {
    const requires = Object.entries(resolved.task.requires);
    const candidates = await agents.candidates(
      targets,
      requires.map(([key]) => key),
    );
    return judged(candidates, resolved, requires);
  }

  /** @param requires those of its requirements that the candidates come with the values of */
  async function judged(
    candidates: readonly Candidate[],
    { task }: ResolvedTask,
    requires: readonly (readonly [string, string])[] = [],
  ): Promise<Target[]> {
    const maintained =
      task.maintenance === 'refuse'
        ? await deps.maintenanceOf(candidates.map(({ id }) => id))
        : new Map<string, string>();
    return candidates.map((candidate) => ({
      candidate,
      unfit: whyUnfit(candidate, requires) ?? inMaintenance(maintained.get(candidate.id)),
    }));
  }

  async function existingRun(by: Principal, key: string, requestHash: Buffer): Promise<RunView | undefined> {
    const found = await store.findByKey(by.id, key);
    if (found === undefined) return undefined;
    if (found.requestHash.equals(requestHash)) return found.run;
    throw new OpenlineError(
      'IDEMPOTENCY_CONFLICT',
      `the idempotency key «${key}» belongs to run ${found.run.id}, which asks for something else`,
    );
  }

  async function submit(
    by: Principal,
    spec: RunSpec,
    options: { idempotencyKey?: string; retry?: { of: string; agentIds: readonly string[] } } = {},
  ): Promise<{ run: RunView; existing: boolean }> {
    const startedMs = clock.nowMs();
    const resolved = packs.resolve(spec.task);
    const parametersJson = encodeParameters(known(resolved, spec));
    const timeoutMs = inRange('timeout', spec.timeoutMs ?? resolved.task.timeoutMs, MIN_TIMEOUT_MS, MAX_TIMEOUT_MS);
    const ttlMs = inRange('time to live', spec.ttlMs ?? config.defaultTtlMs, 1, MAX_TTL_MS);
    const key = options.idempotencyKey;
    if (key !== undefined && key.length > MAX_KEY_CHARS) {
      throw new OpenlineError('REQUEST_INVALID', `the idempotency key is longer than ${MAX_KEY_CHARS} characters`);
    }
    const requestHash = createHash('sha256')
      .update(
        JSON.stringify([
          spec.task,
          spec.targets,
          parametersJson,
          timeoutMs,
          ttlMs,
          spec.offline,
          options.retry?.of ?? null,
          // As it was for a run without: its key may be older than this.
          ...(spec.parametersFrom === undefined ? [] : [Object.entries(spec.parametersFrom).sort()]),
        ]),
      )
      .digest();
    const request = {
      startedMs,
      by,
      spec,
      resolved,
      parametersJson,
      timeoutMs,
      ttlMs,
      key,
      requestHash,
      retryOf: options.retry?.of,
    };
    const connected = options.retry === undefined ? namedAndConnected(spec.targets) : undefined;
    if (connected !== undefined) {
      // One round trip less. What the store does not confirm, and a key that was used before, takes the long way.
      const targets = await judged(connected, resolved);
      const run = await open(request, targets, { requires: resolved.task.requires });
      if (run !== undefined) return { run, existing: false };
    }
    const [before, targets] = await Promise.all([
      key === undefined ? undefined : existingRun(by, key, requestHash),
      fitting(options.retry?.agentIds ?? spec.targets, resolved),
    ]);
    // The same key gives the same run, even when no agent matches any more.
    if (before !== undefined) return { run: before, existing: true };
    if (targets.length === 0) throw new OpenlineError('NO_TARGETS', `no agent matches the targets «${spec.targets}»`);
    if (targets.length > MAX_TARGETS) {
      throw new OpenlineError(
        'REQUEST_INVALID',
        `${targets.length} agents match; one run may have ${MAX_TARGETS} targets`,
      );
    }
    const opened = await open(request, targets);
    if (opened !== undefined) return { run: opened, existing: false };
    const run = key === undefined ? undefined : await existingRun(by, key, requestHash);
    if (run === undefined) throw new OpenlineError('INTERNAL', 'the run was neither stored nor found');
    return { run, existing: true };
  }

  /** The targets of `name=…` and `name in (…)` when all of them are connected. As far as this process knows: the store has the last word. */
  function namedAndConnected(targets: string): Candidate[] | undefined {
    const [term, ...others] = parseSelector(targets);
    if (term?.kind !== 'in' || term.key !== 'name' || others.length > 0) return undefined;
    const found: Candidate[] = [];
    for (const name of new Set(term.values)) {
      const id = lines.connectedAs(name);
      if (id === undefined) return undefined;
      found.push({ id, name, values: [] });
    }
    return found;
  }

  /**
   * Takes places, stores the run, and only then hands it over.
   * @returns undefined when it was not stored: its key was used before, or `ifTargets` does not hold
   */
  async function open(
    request: Submission,
    targets: readonly Target[],
    ifTargets?: TargetsHold,
  ): Promise<RunView | undefined> {
    const { by, spec, resolved, parametersJson, timeoutMs, ttlMs, retryOf } = request;
    const createdAt = clock.now();
    const { stored, task } = resolved;
    const order = {
      runId: deps.newId(),
      packName: stored.pack.name,
      packDigest: stored.digest,
      taskName: task.name,
      parametersJson,
      parametersFrom: spec.parametersFrom,
      timeoutMs,
      expiresAt: new Date(createdAt.getTime() + ttlMs),
    };
    const { runId } = order;
    const parameterBytes = Buffer.byteLength(parametersJson);
    const dispatches = targets.map(({ candidate, unfit }): NewDispatch => {
      const place = unfit === undefined ? lines.reserve(runId, candidate.id, parameterBytes) : 'offline';
      const target = { agentId: candidate.id, place, unfit };
      return { agentId: candidate.id, agentName: candidate.name, ...initialState(target, spec.offline) };
    });
    const sent = idsIn(dispatches, 'sent');
    const run = {
      ...order,
      id: runId,
      task: spec.task,
      targets: spec.targets,
      packVersion: stored.pack.version,
      ttlMs,
      offline: spec.offline,
      requestedBy: by.name,
      principalId: by.id,
      idempotencyKey: request.key,
      requestHash: request.requestHash,
      retryOf,
      createdAt,
    };
    const inserted = await store.insertRun(run, dispatches, ifTargets).catch((error: unknown) => {
      lines.release(runId, sent);
      throw error;
    });
    if (!inserted) {
      lines.release(runId, sent);
      return undefined;
    }
    desk.opened(runId, dispatches.filter((d) => d.state !== 'rejected').length);
    lines.sendTask({ ...order, parameterBytes }, sent, encodeTasks([order], clock.now()));
    deps.observeSubmit?.(dispatches.length, (clock.nowMs() - request.startedMs) / 1000);

    // Those without room; and one that said Hello between the look at the lines and the commit found nothing then.
    lines.waiting(idsIn(dispatches, 'queued'));

    const counts = new Map<NewDispatch['state'], number>();
    for (const { state } of dispatches) counts.set(state, (counts.get(state) ?? 0) + 1);
    return {
      id: runId,
      spec: { ...spec, timeoutMs, ttlMs },
      parametersJson,
      packName: order.packName,
      packVersion: stored.pack.version,
      taskName: task.name,
      timeoutMs,
      ttlMs,
      requestedBy: by.name,
      createdAt,
      expiresAt: order.expiresAt,
      endedAt: undefined,
      cancelledBy: '',
      retryOf,
      targetCount: dispatches.length,
      counts,
    };
  }

  return {
    ...reader,
    submit,

    async preview(spec) {
      const resolved = packs.resolve(spec.task);
      const parameters = known(resolved, spec);
      const targets = await fitting(spec.targets, resolved);
      const held = await agents.packsOf(targets.map(({ candidate }) => candidate.id));
      const foreseen = await foresee({ agents, lines }, resolved, spec, parameters);
      return {
        packVersion: resolved.stored.pack.version,
        parametersJson: encodeParameters(parameters),
        targets: targets.map(({ candidate, unfit }) => {
          const online = lines.isConnected(candidate.id);
          const pack = held.get(candidate.id)?.find((p) => p.digest.equals(resolved.stored.digest));
          const refused =
            pack !== undefined && !pack.ready
              ? { code: 'PACK_NOT_HELD' as const, reason: `the agent refused the pack: ${pack.reason}` }
              : undefined;
          const filled = foreseen.get(candidate.id);
          const { state, reasonCode, reason } = initialState(
            { agentId: candidate.id, place: online ? 'taken' : 'offline', unfit: unfit ?? refused ?? filled?.unfit },
            spec.offline,
          );
          return {
            agentId: candidate.id,
            agentName: candidate.name,
            online,
            holdsPack: pack?.ready ?? false,
            parametersFrom: filled?.texts ?? {},
            wouldReject: state === 'rejected' ? { code: reasonCode, reason } : undefined,
          };
        }),
      };
    },

    async cancel(by, runId) {
      const { run } = await reader.get(runId);
      if (run.endedAt !== undefined) return run;
      // Who asked is on record before anything is stopped.
      await audit.record({ principal: by.name, action: 'run.cancel', object: runId, details: {} });
      const now = clock.now();
      const never = await store.cancel(runId, by.name, now);
      desk.changedInStore(never.map((agentId) => ({ runId, agentId, state: STATES.cancelled })));
      const targets = await store.openTargets(runId);
      lines.sendControl(targets, encodeCancel([runId], `cancelled by ${by.name}`));
      hub.publish(runId, undefined);
      return (await reader.get(runId)).run;
    },

    async retry(by, runId, idempotencyKey) {
      // Which targets are to be retried may have changed since it was first asked.
      const before = idempotencyKey === undefined ? undefined : await store.findByKey(by.id, idempotencyKey);
      if (before?.run.retryOf === runId) return { run: before.run, existing: true };
      const { run, dispatches } = await reader.get(runId);
      const again = dispatches.filter((d) => isEnd(d.state) && d.state !== 'succeeded').map((d) => d.agentId);
      if (again.length === 0) {
        throw new OpenlineError(
          'REQUEST_INVALID',
          `run ${runId} has no target that ended without success, so there is nothing to retry`,
        );
      }
      const spec = { ...run.spec, targets: `retry of ${runId}` };
      const retry = { of: runId, agentIds: again };
      return submit(by, spec, { retry, ...(idempotencyKey !== undefined && { idempotencyKey }) });
    },
  };
}

interface Unfit {
  readonly code: ErrorCode;
  readonly reason: string;
}

function whyUnfit(candidate: Candidate, requires: readonly (readonly [string, string])[]): Unfit | undefined {
  for (const [index, [key, wanted]] of requires.entries()) {
    const value = candidate.values[index];
    if (value === undefined) {
      return {
        code: 'REQUIREMENTS_NOT_MET',
        reason: `the task requires ${key}${wanted === '*' ? '' : `=${wanted}`}, which the agent does not have`,
      };
    }
    if (wanted !== '*' && value !== wanted) {
      return {
        code: 'REQUIREMENTS_NOT_MET',
        reason: `the task requires ${key}=${wanted}, but the agent has ${key}=${value}`,
      };
    }
  }
  return undefined;
}

function inMaintenance(id: string | undefined): Unfit | undefined {
  if (id === undefined) return undefined;
  return {
    code: 'AGENT_IN_MAINTENANCE',
    reason: `the agent is in maintenance ${id}, and the task refuses to run then`,
  };
}

function idsIn(dispatches: readonly NewDispatch[], state: NewDispatch['state']): string[] {
  return dispatches.filter((d) => d.state === state).map((d) => d.agentId);
}

/** The parameters whose value is the same everywhere, with defaults. @throws OpenlineError PARAMETERS_INVALID */
function known({ validate }: ResolvedTask, { parameters, parametersFrom }: RunSpec): Record<string, unknown> {
  return validate(parameters, parametersFrom && Object.keys(parametersFrom));
}

function encodeParameters(parameters: Record<string, unknown>): string {
  const json = JSON.stringify(parameters);
  const bytes = Buffer.byteLength(json);
  if (bytes > MAX_PARAMETERS_BYTES) {
    throw new OpenlineError(
      'PARAMETERS_INVALID',
      `the parameters take ${bytes} bytes as JSON; ${MAX_PARAMETERS_BYTES} are allowed`,
    );
  }
  return json;
}

function inRange(what: string, valueMs: number, minMs: number, maxMs: number): number {
  if (Number.isInteger(valueMs) && valueMs >= minMs && valueMs <= maxMs) return valueMs;
  throw new OpenlineError(
    'REQUEST_INVALID',
    `the ${what} must be from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`,
  );
}
