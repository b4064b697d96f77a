import { OpenlineError } from '@openline/proto/errors';
import type { Clock } from '../clock.ts';
import type { ClusterApi } from '../kubernetes/cluster-api.ts';
import { createFileStateStore } from './file-store.ts';
import { openSecretStateStore } from './secret-store.ts';
import type { StateStore } from './state.ts';

export interface OpenStateDeps {
  /** Of the cluster that this process runs in; undefined: it runs in none. */
  readonly api: ClusterApi | undefined;
  readonly clock: Pick<Clock, 'sleep'>;
}

/** @throws OpenlineError STATE_UNAVAILABLE, CONFIG_INVALID */
export async function openState(
  { api, clock }: OpenStateDeps,
  { dataDir, stateSecret }: { readonly dataDir: string; readonly stateSecret: string | undefined },
): Promise<StateStore> {
  const local = createFileStateStore(dataDir);
  if (stateSecret === undefined) return local;
  if (api === undefined)
    throw new OpenlineError(
      'CONFIG_INVALID',
      'stateSecret: this server does not run in a cluster, or has no service account there',
    );
  return openSecretStateStore({ api, clock, local }, stateSecret);
}
