import { readFileSync } from 'node:fs';
import { OpenlineError } from '@openline/proto/errors';
import type { Log } from '../telemetry/log.ts';
import { type Credential, type CredentialConfig, credentialOf } from './credential.ts';
import { hashJoinToken } from './enroll.ts';
import type { Identity } from './identity.ts';
import { createIdentityStore, type IdentityStore, memoryIdentityStore } from './identity-store.ts';

export interface IdentityKeeper {
  /** For the next connection. */
  current(): Identity;
  /** What the next process will find: an older one than that in use while the disk refuses what was renewed. */
  stored(): Identity;
  /** A refused identity is not the end where a token waits that was not used yet. @returns false when there is none */
  again(): Promise<boolean>;
  /**
   * Changes a part of it: stored before it is used. But a renewed pair is used in any case: on a disk that stays read-only for a day the agent would
   * have outlived its certificate, and could not come back without a new token.
   * @throws OpenlineError DATA_DIR_UNUSABLE it is not stored
   */
  keep(part: Partial<Identity>): Promise<void>;
}

export interface IdentityKeeperConfig extends CredentialConfig {
  readonly dataDir: string;
  readonly caFile: string | undefined;
}

/**
 * Finds the identity of this machine, or gets one.
 * @throws OpenlineError CONFIG_INVALID, and what `enrollWith` throws
 */
export async function keepIdentity(
  log: Log,
  config: IdentityKeeperConfig,
  enrollWith: (credential: Credential, store: IdentityStore) => Promise<Identity>,
): Promise<IdentityKeeper> {
  // A node's is proved anew by every process: there is no key on a disk.
  const isNode = config.kubernetesTokenFile !== undefined;
  const store = isNode ? memoryIdentityStore() : createIdentityStore(config.dataDir);
  let identity = await store.load();
  identity ??= await enrollWith(credentialOf(config) ?? needToken(config.dataDir), store);
  let kept: Identity = identity;
  /** As `kept`, with a pair that is not on disk. */
  let unsaved: Identity | undefined;
  let enrolling: Promise<boolean> | undefined;
  /** One change after the other. */
  let keeping: Promise<void> = Promise.resolve();
  let readLast = isNode && config.caFile !== undefined ? readIfThere(config.caFile) : undefined;

  async function enrollAgain(): Promise<boolean> {
    const credential = credentialOf(config);
    if (credential === undefined) return false;
    if (credential.kind === 'join' && hashJoinToken(credential.token) === kept.joinTokenHash) return false;
    log.info({}, 'this identity is not accepted any more: getting a new one');
    kept = await enrollWith(credential, store);
    unsaved = undefined;
    return true;
  }

  return {
    current() {
      // In a cluster the authority comes in a file that follows it, a minute behind what the server says over the line: the latest word counts.
      const caPem = isNode && config.caFile !== undefined ? readIfThere(config.caFile) : undefined;
      if (caPem !== undefined && caPem !== readLast) {
        readLast = caPem;
        if (caPem !== kept.caPem) kept = { ...kept, caPem };
      }
      return unsaved ?? kept;
    },
    stored: () => kept,
    again() {
      enrolling ??= enrollAgain().finally(() => {
        enrolling = undefined;
      });
      return enrolling;
    },
    keep(part) {
      const done = keeping.then(async () => {
        const next = { ...(unsaved ?? kept), ...part };
        try {
          await store.save(next);
        } catch (error) {
          const { keyPem, certificatePem } = part;
          if (keyPem !== undefined && certificatePem !== undefined) unsaved = { ...kept, keyPem, certificatePem };
          throw error;
        }
        kept = next;
        unsaved = undefined;
      });
      keeping = done.catch(() => {});
      return done;
    },
  };
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8') || undefined;
  } catch {
    return undefined;
  }
}

function needToken(dataDir: string): never {
  throw new OpenlineError(
    'CONFIG_INVALID',
    `joinToken: is needed, as there is no identity in ${dataDir}. Make one with \`openline tokens create --join\`, ` +
      'and start the agent with --join-token and --ca-hash as it prints them.',
  );
}
