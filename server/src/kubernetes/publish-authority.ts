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

/** Writes what agents of the cluster must trust to a ConfigMap that is there, until that is done: none of them can begin without it. */
export async function publishAuthority(
  { api, clock, log, signal }: PublishDeps,
  configMap: string,
  /** As of now: it may change while the API is away. */
  caPem: () => string,
): Promise<void> {
  const path = `/api/v1/namespaces/${api.namespace}/configmaps/${configMap}`;
  for (let failed = false; !signal.aborted; failed = true) {
    try {
      await api.patch(path, { data: { 'ca.crt': caPem() } });
      log.info({ configMap }, 'the certificate of the authority is published to the cluster');
      return;
    } catch (error) {
      if (!failed)
        log.error(
          { err: error, configMap },
          'the certificate of the authority could not be published; it is tried again',
        );
      await clock.sleep(RETRY_MS, signal);
    }
  }
}

/** @returns writes it as it is then; one writing after the other, so that a slow one does not put an old authority over a new one */
export function createPublisher(...args: Parameters<typeof publishAuthority>): () => Promise<void> {
  let last = Promise.resolve();
  return () => {
    last = last.then(() => publishAuthority(...args));
    return last;
  };
}
