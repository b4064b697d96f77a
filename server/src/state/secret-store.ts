import { OpenlineError } from '@openline/proto/errors';
import * as z from 'zod';
import type { Clock } from '../clock.ts';
import { ApiRefused, type ClusterApi } from '../kubernetes/cluster-api.ts';
import type { StateItem, StateStore } from './state.ts';

export interface SecretStateDeps {
  readonly api: Pick<ClusterApi, 'get' | 'patch' | 'apply' | 'namespace'>;
  readonly clock: Pick<Clock, 'sleep'>;
  /**
   * The data directory. What the Secret lacks and is there is taken up, so that a server can move from the one to the other; and what the command line
   * on this machine reads is copied to it.
   */
  readonly local: StateStore;
}

const Secret = z.object({
  metadata: z.object({ resourceVersion: z.string() }),
  data: z.record(z.string(), z.base64()).nullish(),
});

export const SECRET_KEYS = {
  authority: 'authority.json',
  packKey: 'packs.key',
  adminToken: 'admin-token',
} as const satisfies Record<StateItem, string>;
/** For `openline` within the pod; the key of the authority stays out of the file system. */
const COPIED: readonly StateItem[] = ['packKey', 'adminToken'];

const ATTEMPTS = 10;
const RETRY_MS = 2_000;
const CONFLICT = 409;
const NOT_FOUND = 404;

/**
 * In a Secret of the server's own namespace, which it makes where it is not there: a server whose disk does not outlive its pod keeps its identity.
 * Copies what is in it to the data directory.
 * @throws OpenlineError STATE_UNAVAILABLE
 */
export async function openSecretStateStore(deps: SecretStateDeps, name: string): Promise<StateStore> {
  const { api, clock, local } = deps;
  const path = `/api/v1/namespaces/${api.namespace}/secrets/${name}`;

  /** What may be over in a moment is tried again; a refusal is not. */
  async function ask<T>(call: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await call();
      } catch (cause) {
        const refused = cause instanceof ApiRefused && cause.status < 500 && cause.status !== 429;
        if (cause instanceof ApiRefused && cause.status === CONFLICT) throw cause;
        if (refused || attempt === ATTEMPTS) {
          const reason = cause instanceof Error ? cause.message : 'unknown';
          throw new OpenlineError('STATE_UNAVAILABLE', `the Secret ${api.namespace}/${name}: ${reason}`, { cause });
        }
        await clock.sleep(RETRY_MS);
      }
    }
  }

  /** Not by whoever installs the server: what Helm has made, `helm upgrade --force` puts into its place again, empty. */
  async function getOrMake(): Promise<unknown> {
    try {
      return await api.get(path);
    } catch (error) {
      if (!(error instanceof ApiRefused && error.status === NOT_FOUND)) throw error;
      const labels = { 'app.kubernetes.io/part-of': 'openline' };
      return await api.apply(path, { apiVersion: 'v1', kind: 'Secret', metadata: { name, labels } });
    }
  }

  async function get() {
    const answer = Secret.safeParse(await ask(getOrMake));
    if (!answer.success) {
      const places = answer.error.issues.map((issue) => issue.path.join('.') || 'the answer').join(', ');
      const reason = `the Kubernetes API answered with what is no Secret (${places})`;
      throw new OpenlineError('STATE_UNAVAILABLE', `the Secret ${api.namespace}/${name}: ${reason}`);
    }
    const { metadata, data } = answer.data;
    const textOf = (item: StateItem) => {
      const encoded = data?.[SECRET_KEYS[item]];
      return encoded === undefined ? undefined : Buffer.from(encoded, 'base64').toString('utf8');
    };
    return { version: metadata.resourceVersion, textOf };
  }

  async function copy(item: StateItem, text: string): Promise<void> {
    if (COPIED.includes(item)) await local.update(item, () => text);
  }

  const atStart = await get();
  for (const item of COPIED) {
    const text = atStart.textOf(item);
    if (text !== undefined) await copy(item, text);
  }

  return {
    read: async (item) => (await get()).textOf(item) ?? (await local.read(item)),
    async update(item, change) {
      for (;;) {
        const { version, textOf } = await get();
        const kept = textOf(item);
        const next = await change(kept ?? (await local.read(item)));
        if (next !== kept) {
          const data = { [SECRET_KEYS[item]]: Buffer.from(next).toString('base64') };
          try {
            // With its version: the API refuses it when another server has written meanwhile.
            await ask(() => api.patch(path, { metadata: { resourceVersion: version }, data }));
          } catch (error) {
            if (error instanceof ApiRefused && error.status === CONFLICT) continue;
            throw error;
          }
        }
        await copy(item, next);
        return next;
      }
    },
  };
}
