import * as z from 'zod';
import type { Clock } from '../clock.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { ClusterApi } from './cluster-api.ts';

export interface PublishDeps {
  readonly api: Pick<ClusterApi, 'patch' | 'namespace'>;
  readonly clock: Pick<Clock, 'sleep'>;
  readonly log: Pick<Logger, 'info' | 'error'>;
  readonly signal: AbortSignal;
}

const RETRY_MS = 2_000;

/** Another version: it was not like this before. */
const ConfigMap = z.object({ metadata: z.object({ resourceVersion: z.string() }) });

/**
 * Writes what agents of the cluster must trust to a ConfigMap that is there, until that is done: none of them can begin without it.
 * @param known the version that it wrote before, which it need not tell of again
 * @returns the version now; undefined: it was stopped
 */
async function publishAuthority(
  { api, clock, log, signal }: PublishDeps,
  configMap: string,
  /** As of now: it may change while the API is away. */
  caPem: () => string,
  known: string | undefined,
): Promise<string | undefined> {
  const path = `/api/v1/namespaces/${api.namespace}/configmaps/${configMap}`;
  for (let failed = false; !signal.aborted; failed = true) {
    try {
      const { metadata } = ConfigMap.parse(await api.patch(path, { data: { 'ca.crt': caPem() } }));
      if (metadata.resourceVersion !== known)
        log.info({ configMap }, 'the certificate of the authority is published to the cluster');
      return metadata.resourceVersion;
    } catch (error) {
      if (!failed)
        log.error(
          { err: error, configMap },
          'the certificate of the authority could not be published; it is tried again',
        );
      await clock.sleep(RETRY_MS, signal);
    }
  }
  return known;
}

/** @returns writes it as it is then; one writing after the other, so that a slow one does not put an old authority over a new one */
export function createPublisher(deps: PublishDeps, configMap: string, caPem: () => string): () => Promise<void> {
  let last = Promise.resolve();
  let version: string | undefined;
  return () => {
    last = last.then(async () => {
      version = await publishAuthority(deps, configMap, caPem, version);
    });
    return last;
  };
}
