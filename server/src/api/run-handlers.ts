import { OfflinePolicy, type RunServiceService, type WatchRunResponse } from '@openline/proto/operator';
import { z } from 'zod';
import type { RunService, RunSpec } from '../runs/run-service.ts';
import {
  byteOffset,
  idempotencyKey,
  name,
  optionalMs,
  pageLimit,
  parametersFrom,
  parametersJson,
  readRequest,
  runId,
  text,
  ttlMs,
} from './fields.ts';
import { dispatchMessage, outputMessage, previewTargetMessage, runMessage } from './run-messages.ts';
import type { Handlers } from './serve.ts';

const Offline = z
  .literal([
    OfflinePolicy.OFFLINE_POLICY_UNSPECIFIED,
    OfflinePolicy.OFFLINE_POLICY_FAIL,
    OfflinePolicy.OFFLINE_POLICY_WAIT,
  ])
  .transform((policy) => (policy === OfflinePolicy.OFFLINE_POLICY_WAIT ? ('wait' as const) : ('fail' as const)));

const Spec = z
  .object({
    task: name('name a task as pack/task'),
    targets: name('say which agents: `all`, or e.g. role=web', 64 * 1024),
    parametersJson,
    parametersFrom,
    timeoutMs: optionalMs,
    ttlMs,
    offline: Offline,
  })
  .transform(({ parametersJson: parameters, ...rest }): RunSpec => ({ ...rest, parameters }));

const Submit = z.object({ spec: Spec, idempotencyKey });
const Preview = z.object({ spec: Spec });
const ById = z.object({ runId });
const Retry = z.object({ runId, idempotencyKey });
const List = z.object({ limit: pageLimit(), pageToken: text(512), openOnly: z.boolean(), task: text(256) });
const ReadOutput = z
  .object({
    runId,
    agentIds: z.array(text(64)).max(1000, 'more than 1000'),
    follow: z.boolean(),
    fromOffset: byteOffset,
  })
  .refine((request) => request.fromOffset === 0 || request.agentIds.length === 1, {
    path: ['fromOffset'],
    message: 'an offset needs exactly one agent',
  });

/** So that no message of a watch comes near the limit of a message, however many targets the run has. */
const DISPATCHES_PER_MESSAGE = 2_000;

export function runHandlers({ runs }: { readonly runs: RunService }): Handlers<typeof RunServiceService> {
  async function* watch(id: string, signal: AbortSignal): AsyncIterable<WatchRunResponse> {
    for await (const { run, dispatches } of runs.watch(id, signal)) {
      let from = 0;
      do {
        const part = dispatches.slice(from, from + DISPATCHES_PER_MESSAGE);
        yield { run: runMessage(run), dispatches: part.map(dispatchMessage) };
        from += DISPATCHES_PER_MESSAGE;
      } while (from < dispatches.length);
    }
  }

  async function* output(query: z.output<typeof ReadOutput>, signal: AbortSignal) {
    for await (const part of runs.readOutput(query, signal)) yield outputMessage(part);
  }

  return {
    async submitRun(request, { principal }) {
      const { spec, idempotencyKey } = readRequest(Submit, request);
      const { run, existing } = await runs.submit(
        principal,
        spec,
        idempotencyKey === undefined ? {} : { idempotencyKey },
      );
      return { run: runMessage(run), existing };
    },
    async previewRun(request) {
      const { spec } = readRequest(Preview, request);
      const { packVersion, parametersJson, targets } = await runs.preview(spec);
      return { task: spec.task, packVersion, parametersJson, targets: targets.map(previewTargetMessage) };
    },
    async getRun(request) {
      const { run, dispatches } = await runs.get(readRequest(ById, request).runId);
      return { run: runMessage(run), dispatches: dispatches.map(dispatchMessage) };
    },
    async listRuns(request) {
      const { runs: page, nextPageToken } = await runs.list(readRequest(List, request));
      return { runs: page.map(runMessage), nextPageToken };
    },
    watchRun: (request, { signal }) => watch(readRequest(ById, request).runId, signal),
    readOutput: (request, { signal }) => output(readRequest(ReadOutput, request), signal),
    async cancelRun(request, { principal }) {
      return { run: runMessage(await runs.cancel(principal, readRequest(ById, request).runId)) };
    },
    async retryRun(request, { principal }) {
      const { runId, idempotencyKey } = readRequest(Retry, request);
      const { run, existing } = await runs.retry(principal, runId, idempotencyKey);
      return { run: runMessage(run), existing };
    },
  };
}
