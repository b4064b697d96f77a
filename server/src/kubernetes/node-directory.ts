import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod';
import type { Clock } from '../clock.ts';
import type { Logger } from '../telemetry/logger.ts';
import { ApiRefused, type ClusterApi } from './cluster-api.ts';

export interface ClusterNode {
  readonly uid: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface NodeDirectory {
  /** By UID; undefined: they were not listed yet. */
  all(): ReadonlyMap<string, ClusterNode> | undefined;
  stop(): void;
}

export interface NodeDirectoryDeps {
  readonly api: ClusterApi;
  readonly clock: Pick<Clock, 'sleep'>;
  readonly log: Pick<Logger, 'warn' | 'info'>;
  /** There are others, or their labels are others. */
  changed(): void;
}

const PATH = '/api/v1/nodes';
const PAGE = '500';
const WATCH_S = 300;
/** A connection that breaks without a word ends, too. */
const WATCH_AT_MOST_MS = (WATCH_S + 30) * 1_000;
const RETRY_MS = 5_000;
const FORBIDDEN_RETRY_MS = 300_000;

const Metadata = z.object({
  name: z.string(),
  uid: z.string(),
  resourceVersion: z.string(),
  labels: z.record(z.string(), z.string()).optional(),
});
const One = z.object({ metadata: Metadata });
const List = z.object({
  metadata: z.object({ resourceVersion: z.string(), continue: z.string().optional() }),
  items: z.array(One),
});
const Change = z.discriminatedUnion('type', [
  z.object({ type: z.enum(['ADDED', 'MODIFIED', 'DELETED']), object: One }),
  z.object({ type: z.literal('BOOKMARK'), object: z.object({ metadata: z.object({ resourceVersion: z.string() }) }) }),
  z.object({ type: z.literal('ERROR'), object: z.object({ code: z.number(), message: z.string() }) }),
]);

/** The nodes of the cluster, listed once and watched from then on (needs `list` and `watch` on `nodes`). */
export function watchNodes(deps: NodeDirectoryDeps): NodeDirectory {
  const { api, clock, log } = deps;
  const stopping = new AbortController();
  const { signal } = stopping;
  let nodes: Map<string, ClusterNode> | undefined;
  /** To go on from, also where a watch breaks; undefined: changes were missed. */
  let version: string | undefined;

  async function list(): Promise<string> {
    const found = new Map<string, ClusterNode>();
    for (let token = ''; ; ) {
      const query = token === '' ? { limit: PAGE } : { limit: PAGE, continue: token };
      const { metadata, items } = List.parse(await api.list(PATH, query));
      for (const item of items) found.set(item.metadata.uid, nodeOf(item.metadata));
      token = metadata.continue ?? '';
      if (token !== '') continue;
      nodes = found;
      deps.changed();
      return metadata.resourceVersion;
    }
  }

  async function watch(from: string): Promise<void> {
    const query = { resourceVersion: from, allowWatchBookmarks: 'true', timeoutSeconds: String(WATCH_S) };
    for await (const line of api.watch(PATH, query, AbortSignal.any([signal, AbortSignal.timeout(WATCH_AT_MOST_MS)]))) {
      const change = Change.parse(line);
      if (change.type === 'ERROR') throw new ApiRefused(change.object.code, change.object.message);
      version = change.object.metadata.resourceVersion;
      if (change.type !== 'BOOKMARK') take(change.type, nodeOf(change.object.metadata));
    }
  }

  function take(type: 'ADDED' | 'MODIFIED' | 'DELETED', node: ClusterNode): void {
    const known = nodes?.get(node.uid);
    if (type === 'DELETED') nodes?.delete(node.uid);
    else nodes?.set(node.uid, node);
    // Its status changes all the time, and is nothing to us.
    if (type === 'DELETED' || !isDeepStrictEqual(known, node)) deps.changed();
  }

  async function run(): Promise<void> {
    let failing = false;
    while (!signal.aborted) {
      try {
        version ??= await list();
        await watch(version);
        if (failing) log.info({}, 'the nodes of the cluster are watched again');
        failing = false;
      } catch (error) {
        if (signal.aborted) return;
        const { status } = error instanceof ApiRefused ? error : { status: 0 };
        if (status === 410) {
          version = undefined;
        } else {
          if (!failing) log.warn({ err: error }, 'the nodes of the cluster cannot be watched; it is tried again');
          failing = true;
        }
        await clock.sleep(status === 403 ? FORBIDDEN_RETRY_MS : RETRY_MS, signal);
      }
    }
  }

  void run();
  return {
    all: () => nodes,
    stop: () => stopping.abort(),
  };
}

function nodeOf({ uid, name, labels = {} }: z.infer<typeof Metadata>): ClusterNode {
  return { uid, name, labels };
}

/** @throws ApiRefused, Error when the cluster cannot say */
export async function isNodeGone(api: Pick<ClusterApi, 'get'>, name: string, uid: string): Promise<boolean> {
  try {
    const { metadata } = One.parse(await api.get(`${PATH}/${encodeURIComponent(name)}`));
    return metadata.uid !== uid;
  } catch (error) {
    if (error instanceof ApiRefused && error.status === 404) return true;
    throw error;
  }
}
