import { compareVersions, compileParameters, didYouMean, type PackTask, type ParameterCheck } from '@openline/packs';
import { OpenlineError } from '@openline/proto/errors';
import type { ResolvedTask, StoredPack } from './pack-service.ts';

/** The stored packs as one value: what a reference means. Never changes; a push or a removal makes a new one. */
export interface Catalog {
  /** By name, newest version first. */
  readonly all: readonly StoredPack[];
  readonly wanted: readonly StoredPack[];
  byDigest(digest: Uint8Array): StoredPack | undefined;
  /** "name" or "name@version". @throws OpenlineError PACK_UNKNOWN */
  get(ref: string): StoredPack;
  /** "pack/task" or "pack@version/task". @throws OpenlineError REQUEST_INVALID, PACK_UNKNOWN, TASK_UNKNOWN */
  resolve(taskRef: string): ResolvedTask;
}

const TASK_REF = /^([^@/]+(?:@[^@/]+)?)\/([^/]+)$/;

export function createCatalog(packs: Iterable<StoredPack>): Catalog {
  const all = [...packs].sort(
    (a, b) => compareText(a.pack.name, b.pack.name) || compareVersions(b.pack.version, a.pack.version),
  );
  const wanted = all.filter((stored) => stored.wanted);
  const byDigest = new Map(all.map((stored) => [stored.digest.toString('hex'), stored]));

  function get(ref: string): StoredPack {
    const [name = '', version] = ref.split('@', 2);
    const versions = all.filter((stored) => stored.pack.name === name);
    if (versions.length === 0) {
      const names = wanted.map((stored) => stored.pack.name);
      throw new OpenlineError('PACK_UNKNOWN', `there is no pack «${name}»${didYouMean(name, names)}`);
    }
    const found = versions.find((stored) => (version === undefined ? stored.wanted : stored.pack.version === version));
    if (found !== undefined) return found;
    const known = versions.map((stored) => stored.pack.version).join(', ');
    throw new OpenlineError('PACK_UNKNOWN', `pack «${name}» has no version «${version ?? ''}», only ${known}`);
  }

  function resolve(taskRef: string): ResolvedTask {
    const [, packRef, taskName] = TASK_REF.exec(taskRef) ?? [];
    if (packRef === undefined || taskName === undefined) {
      const homes = wanted.filter((stored) => stored.pack.tasks.has(taskRef)).map((stored) => stored.pack.name);
      const hint = homes.length > 0 ? homes.map((home) => `«${home}/${taskRef}»`).join(' or ') : '«linux/disk-usage»';
      throw new OpenlineError('REQUEST_INVALID', `a task is named pack/task, e.g. ${hint}, not «${taskRef}»`);
    }
    const stored = get(packRef);
    const task = stored.pack.tasks.get(taskName);
    if (task === undefined) {
      const hint = didYouMean(taskName, [...stored.pack.tasks.keys()]);
      throw new OpenlineError(
        'TASK_UNKNOWN',
        `pack «${stored.pack.name}» ${stored.pack.version} has no task «${taskName}»${hint}`,
      );
    }
    return { stored, task, validate: (value, later) => validatorOf(task)(value, later) };
  }

  return { all, wanted, byDigest: (digest) => byDigest.get(Buffer.from(digest).toString('hex')), get, resolve };
}

/** Compiled at the first use: most tasks of most packs are never run. */
const validators = new WeakMap<PackTask, ParameterCheck>();

function validatorOf(task: PackTask): ParameterCheck {
  const compiled = validators.get(task) ?? compileParameters(task);
  validators.set(task, compiled);
  return compiled;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
