import type { NodeEvent } from '@openline/packs';
import { createLoop, type LoopDeps, pause, type Reading, SourceFault } from '../read/loop.ts';
import { decodePosition, POSITION_UNREADABLE } from '../read/position.ts';
import { createStreamLines } from '../read/stream-lines.ts';
import type { EventSource } from '../source.ts';
import { type KubernetesConfig, open, Refused, readBody } from './api.ts';
import { type Item, objectAt, parseItem, textAt } from './item.ts';
import { encodeProgress, newProgress, type Progress, parseProgress, takeNew } from './progress.ts';

export interface KubernetesSourceConfig extends KubernetesConfig {
  readonly nodeName: string;
  /** How long one watch lasts, seconds; default 300. */
  readonly watchSeconds?: number;
  /** Until it is asked again whether events of pods may be read, milliseconds; default 10 min. */
  readonly forbiddenRetryMs?: number;
}

const PAGE = 100;
/** An event and what the API adds. */
const MAX_LINE_BYTES = 256 * 1024;
const FORBIDDEN_RETRY_MS = 600_000;
const RETRY_MS = 60_000;

interface Watched {
  readonly path: string;
  readonly fieldSelector: string;
  readonly wants: (item: Item) => boolean;
  readonly progress: Progress;
}

/**
 * Kubernetes' events of this node, and, where the agent's account may see them, those that this node's kubelet tells of its pods. Events of nodes
 * are in the namespace `default`; to watch those of pods is to get all of the cluster's, so permit it only where that is little.
 */
export function createKubernetesSource(deps: LoopDeps, config: KubernetesSourceConfig): EventSource {
  return createLoop(deps, 'kubernetes', (reading) => readEvents(deps, config, reading));
}

async function readEvents(deps: LoopDeps, config: KubernetesSourceConfig, reading: Reading): Promise<void> {
  const saved = reading.position();
  const known = decodePosition(saved, parsePlace);
  if (saved !== undefined && known === undefined) reading.lost(0, POSITION_UNREADABLE);
  const place = known ?? { node: newProgress(), pods: newProgress() };
  const { nodeName } = config;
  const node: Watched = {
    path: '/api/v1/namespaces/default/events',
    fieldSelector: `involvedObject.kind=Node,involvedObject.name=${nodeName}`,
    wants: () => true,
    progress: place.node,
  };
  const pods: Watched = {
    path: '/api/v1/events',
    fieldSelector: 'involvedObject.kind=Pod',
    wants: (item) => item.node === nodeName,
    progress: place.pods,
  };

  /** One batch at a time, whichever of the two it is of; with it goes how far that one is, and the other with what of it was pushed. */
  const pushed = { node: encodeProgress(node.progress), pods: encodeProgress(pods.progress) };
  let last: Promise<void> = Promise.resolve();
  const pushOf = (which: 'node' | 'pods') => (events: readonly NodeEvent[]) => {
    const now = encodeProgress((which === 'node' ? node : pods).progress);
    last = last.then(() => {
      pushed[which] = now;
      return reading.push(events, JSON.stringify(pushed));
    });
    return last;
  };

  /** When one of the two fails, the other ends, and both begin anew. */
  const failed = new AbortController();
  const signal = AbortSignal.any([reading.signal, failed.signal]);
  const follow = async (which: 'node' | 'pods') => {
    const watched = which === 'node' ? node : pods;
    try {
      const { healthy, lost } = reading;
      while (!signal.aborted) await followOnce(deps, config, watched, { push: pushOf(which), healthy, lost, signal });
    } catch (error) {
      if (which === 'pods' && error instanceof Refused && error.status === 403) return true;
      failed.abort();
      throw error;
    }
    return false;
  };
  const followPods = async () => {
    while (await follow('pods')) await pause(deps.clock, config.forbiddenRetryMs ?? FORBIDDEN_RETRY_MS, signal);
  };
  const [ofNode, ofPods] = await Promise.allSettled([follow('node'), followPods()]);
  if (reading.signal.aborted) return;
  // The other one failed only because it was ended.
  for (const outcome of [ofNode, ofPods]) {
    if (outcome.status === 'rejected' && !isAbort(outcome.reason)) throw asFault(outcome.reason, config);
  }
}

interface Following {
  readonly push: (events: readonly NodeEvent[]) => Promise<void>;
  readonly healthy: () => void;
  readonly lost: Reading['lost'];
  readonly signal: AbortSignal;
}

/** A list, where there is none yet or its version is too old to go on from, and one watch. */
async function followOnce(
  deps: LoopDeps,
  config: KubernetesSourceConfig,
  watched: Watched,
  following: Following,
): Promise<void> {
  const { progress } = watched;
  // Of what there is when we look first, only what comes later is told.
  if (progress.version === '') await list(deps, config, watched, following, true);
  try {
    await watch(deps, config, watched, following);
  } catch (error) {
    if (!(error instanceof Refused && error.status === 410)) throw error;
    await list(deps, config, watched, following, false);
  }
}

async function list(
  { clock }: LoopDeps,
  config: KubernetesSourceConfig,
  { path, fieldSelector, wants, progress }: Watched,
  { push, signal }: Following,
  history: boolean,
): Promise<void> {
  const events: NodeEvent[] = [];
  let version = '';
  let next = '';
  do {
    const query = { fieldSelector, limit: String(PAGE), ...(next === '' ? {} : { continue: next }) };
    const page: unknown = JSON.parse(await readBody(await open(config, { path, query, signal })));
    const fields = objectAt({ page }, 'page');
    const metadata = objectAt(fields, 'metadata');
    version = textAt(metadata, 'resourceVersion') ?? version;
    next = textAt(metadata, 'continue') ?? '';
    for (const value of Array.isArray(fields['items']) ? fields['items'] : []) {
      const item = parseItem(value, clock.unixMs());
      if (item !== undefined && wants(item) && takeNew(progress, item, version) && !history) events.push(item.event);
    }
  } while (next !== '');
  progress.version = version;
  await push(events.sort((a, b) => a.atUnixMs - b.atUnixMs));
}

async function watch(
  { clock, random }: LoopDeps,
  config: KubernetesSourceConfig,
  { path, fieldSelector, wants, progress }: Watched,
  { push, healthy, lost, signal }: Following,
): Promise<void> {
  // Not all agents of a cluster at once.
  const seconds = Math.ceil((config.watchSeconds ?? 300) * (1 + random() / 5));
  const overdue = AbortSignal.timeout((seconds + 30) * 1000);
  const query = {
    fieldSelector,
    watch: '1',
    allowWatchBookmarks: 'true',
    resourceVersion: progress.version,
    timeoutSeconds: String(seconds),
  };
  const answer = await open(config, { path, query, signal: AbortSignal.any([signal, overdue]) });
  // It may be silent for as long as it lasts.
  answer.socket.setTimeout(0);
  healthy();
  const split = createStreamLines(MAX_LINE_BYTES);
  for await (const chunk of answer) {
    const { lines, tooLong } = split.push(chunk);
    if (tooLong > 0) lost(tooLong, `longer than ${MAX_LINE_BYTES / 1024} KiB`);
    const events: NodeEvent[] = [];
    const before = progress.version;
    for (const line of lines) {
      const { type, object } = parseChange(line);
      if (type === 'ERROR')
        throw new Refused(Number(object['code']) || 0, textAt(object, 'message') ?? 'the watch failed');
      progress.version = textAt(objectAt(object, 'metadata'), 'resourceVersion') ?? progress.version;
      // What is deleted was told when it came.
      if (type !== 'ADDED' && type !== 'MODIFIED') continue;
      const item = parseItem(object, clock.unixMs());
      if (item !== undefined && wants(item) && takeNew(progress, item)) events.push(item.event);
    }
    if (events.length > 0 || progress.version !== before) await push(events);
  }
}

function parseChange(line: string): { type: string | undefined; object: Readonly<Record<string, unknown>> } {
  const change: unknown = JSON.parse(line);
  const fields = objectAt({ change }, 'change');
  return { type: textAt(fields, 'type'), object: objectAt(fields, 'object') };
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

function asFault(error: unknown, { host, port, nodeName }: KubernetesSourceConfig): unknown {
  if (!(error instanceof Error) || error instanceof SourceFault) return error;
  if (error instanceof Refused && (error.status === 401 || error.status === 403)) {
    const what = `Kubernetes’ events of the node ${nodeName} may not be read; let the agent’s service account list and watch events in the namespace default`;
    return new SourceFault(`${what} (${error.message})`, { cause: error, retryMs: RETRY_MS });
  }
  return new SourceFault(`Kubernetes’ events cannot be read from ${host}:${port}: ${error.message}`, { cause: error });
}

function parsePlace(value: Readonly<Record<string, unknown>>): { node: Progress; pods: Progress } | undefined {
  const [node, pods] = [parseProgress(value['node']), parseProgress(value['pods'])];
  return node === undefined || pods === undefined ? undefined : { node, pods };
}
