import { createHash, X509Certificate } from 'node:crypto';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makePrivateDirectory, unusable, writeFileAtomically } from '../files.ts';
import type { Identity } from './identity.ts';

export interface IdentityStore {
  /**
   * @returns undefined when this machine has none
   * @throws OpenlineError DATA_DIR_UNUSABLE when there is one that cannot be read
   */
  load(): Promise<Identity | undefined>;
  /** @throws OpenlineError DATA_DIR_UNUSABLE; the identity before it is then still in place */
  save(identity: Identity): Promise<void>;
  /** The key of an enrolment that is under way: a retry, also of the next process, asks with the same one. */
  pendingKey(generate: () => string): Promise<string>;
}

/** What agent.json says. It names the files of the pair, so that replacing it replaces all of them at one instant. */
interface Manifest {
  readonly agentId: string;
  readonly agentName: string;
  readonly keyFile: string;
  readonly certificateFile: string;
  readonly caFile: string;
  readonly trustedPackKeys: readonly string[];
  readonly joinTokenHash: string;
}

const MANIFEST = 'agent.json';
const PENDING_KEY = 'pending-key.pem';

/** Forgets everything when the process ends. */
export function memoryIdentityStore(): IdentityStore {
  let saved: Identity | undefined;
  let pending: string | undefined;
  return {
    load: async () => saved,
    async save(identity) {
      saved = identity;
      pending = undefined;
    },
    async pendingKey(generate) {
      pending ??= generate();
      return pending;
    },
  };
}

export function createIdentityStore(dataDir: string): IdentityStore {
  const dir = join(dataDir, 'identity');
  const at = (name: string) => join(dir, name);
  return {
    async load() {
      const text = await readIfThere(at(MANIFEST));
      if (text === undefined) return undefined;
      try {
        const manifest = parseManifest(text);
        const [keyPem, certificatePem, caPem] = await Promise.all(
          [manifest.keyFile, manifest.certificateFile, manifest.caFile].map((name) => readFile(at(name), 'utf8')),
        );
        if (!keyPem || !certificatePem || !caPem) throw new Error('a file of the identity is empty');
        new X509Certificate(certificatePem);
        const { agentId, agentName, trustedPackKeys, joinTokenHash } = manifest;
        return { agentId, agentName, keyPem, certificatePem, caPem, trustedPackKeys, joinTokenHash };
      } catch (cause) {
        throw unusable(at(MANIFEST), cause);
      }
    },
    async save(identity) {
      await makePrivateDirectory(dir);
      const { agentId, agentName, keyPem, certificatePem, caPem, trustedPackKeys, joinTokenHash } = identity;
      // Named by their content: the files of the identity that is in place are never written again.
      const suffix = createHash('sha256').update(certificatePem).update(caPem).digest('hex').slice(0, 16);
      const [keyFile, certificateFile, caFile] = [`key-${suffix}.pem`, `cert-${suffix}.pem`, `ca-${suffix}.pem`];
      await writeFileAtomically(at(keyFile), keyPem);
      await writeFileAtomically(at(certificateFile), certificatePem, 0o644);
      await writeFileAtomically(at(caFile), caPem, 0o644);
      const manifest: Manifest = {
        agentId,
        agentName,
        keyFile,
        certificateFile,
        caFile,
        trustedPackKeys,
        joinTokenHash,
      };
      await writeFileAtomically(at(MANIFEST), `${JSON.stringify(manifest, undefined, 2)}\n`);
      // Only now is the new one in place; what else lies there is of an older one, or of a crash.
      const keep = new Set([MANIFEST, keyFile, certificateFile, caFile]);
      for (const name of await readdir(dir)) if (!keep.has(name)) await rm(at(name), { force: true });
    },
    async pendingKey(generate) {
      const pending = await readIfThere(at(PENDING_KEY));
      if (pending?.includes('PRIVATE KEY')) return pending;
      await makePrivateDirectory(dir);
      const key = generate();
      await writeFileAtomically(at(PENDING_KEY), key);
      return key;
    },
  };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw unusable(path, cause);
  }
}

function parseManifest(text: string): Manifest {
  const raw: unknown = JSON.parse(text);
  const field = (name: string): unknown =>
    typeof raw === 'object' && raw !== null ? Object.entries(raw).find(([key]) => key === name)?.[1] : undefined;
  const string = (name: string): string => {
    const value = field(name);
    if (typeof value !== 'string') throw new Error(`"${name}" is missing`);
    return value;
  };
  const file = (name: string): string => {
    const value = string(name);
    if (!/^[a-z]+-[0-9a-f]+\.pem$/.test(value)) throw new Error(`"${name}" is not the name of a file of ours`);
    return value;
  };
  const keys = field('trustedPackKeys');
  return {
    agentId: string('agentId'),
    agentName: string('agentName'),
    keyFile: file('keyFile'),
    certificateFile: file('certificateFile'),
    caFile: file('caFile'),
    trustedPackKeys: Array.isArray(keys) ? keys.filter((key) => typeof key === 'string') : [],
    joinTokenHash: string('joinTokenHash'),
  };
}
