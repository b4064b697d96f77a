import type { Pack, PackTask, ParameterCheck } from '@openline/packs';
import type { Principal } from '../access/access.ts';

export interface StoredPack {
  readonly pack: Pack;
  /** SHA-256 of `content`, 32 bytes. */
  readonly digest: Buffer;
  readonly content: Buffer;
  readonly signature: string;
  readonly keyId: string;
  readonly pushedBy: string;
  readonly pushedAt: Date;
  readonly wanted: boolean;
}

export interface ResolvedTask {
  readonly stored: StoredPack;
  readonly task: PackTask;
  /** Fills defaults in. @throws OpenlineError PARAMETERS_INVALID naming the parameter, never a secret's value. */
  readonly validate: ParameterCheck;
}

/** Packs at the server. Held in memory, parsed; the database is the truth. */
export interface PackService {
  /**
   * @throws OpenlineError PACK_INVALID (file:line:column), PACK_SIGNATURE_INVALID, PACK_KEY_UNTRUSTED, PACK_DOWNGRADE, PACK_CONTENT_CHANGED
   */
  push(
    by: Principal,
    content: Buffer,
    signature: string,
    fileName: string,
  ): Promise<{ stored: StoredPack; unchanged: boolean }>;
  /** @throws OpenlineError PACK_UNKNOWN, PACK_IN_USE */
  remove(by: Principal, name: string): Promise<void>;
  /** Every stored version. */
  list(): readonly StoredPack[];
  /** "name" (the wanted version) or "name@version". @throws OpenlineError PACK_UNKNOWN */
  get(ref: string): StoredPack;
  byDigest(digest: Uint8Array): StoredPack | undefined;
  /** "pack/task" or "pack@version/task". @throws OpenlineError REQUEST_INVALID, PACK_UNKNOWN, TASK_UNKNOWN */
  resolve(taskRef: string): ResolvedTask;
  /** What every agent should hold. */
  wanted(): readonly StoredPack[];
  /** Called after `wanted()` has changed. */
  onWantedChanged(listener: () => void): void;
}
