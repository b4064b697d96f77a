import type { Pack, PackTask } from '@openline/packs';
import { type PublicKey, parsePublicKey, verifyPack } from '@openline/packs/signature';
import { compareVersions, digestOf, isVersion } from '@openline/packs/version';
import type { HeldPack, PackState } from '@openline/proto/agent';
import { OpenlineError } from '@openline/proto/errors';
import { backoffMs } from '../link/backoff.ts';
import type { Clock } from '../tasks/clock.ts';
import type { Log } from '../telemetry/log.ts';
import { type CachedPack, createPackCache, type PackCache } from './cache.ts';
import type { PackLibrary, ReadyTask, TaskLookup } from './library.ts';
import { type ReadPack, readPackHere } from './read-pack.ts';

export interface PackLibraryDeps {
  clock: Clock;
  random: () => number;
  log: Log;
  /** minisign public keys. Asked anew for each pack. */
  trustedKeys: () => readonly string[];
  /** Whether no task is under way: only then are packs that are no longer wanted removed. */
  idle: () => boolean;
  /** Default: in this process. */
  readPack?: ReadPack;
}

export interface PackLibraryConfig {
  readonly dataDir: string;
  /** Default false: an older version than one that was held is refused, also when it is signed. */
  readonly allowDowngrade?: boolean;
}

type Fetch = (digest: Uint8Array) => Promise<{ content: Uint8Array; signature: string }>;

interface HeldTask {
  ready: ReadyTask | undefined;
  /** Makes `ready`. Never rejects. */
  readonly prepare: () => Promise<void>;
}

/** Verified. Its tasks are there once its YAML is read. */
interface Entry {
  readonly digest: string;
  readonly name: string;
  readonly version: string;
  pack: Pack | undefined;
  tasks: ReadonlyMap<string, HeldTask> | undefined;
}

const FETCH_ATTEMPTS = 4;
const FETCH_BACKOFF = { baseMs: 1_000, maxMs: 10_000 };

/** Loads what is cached, verified again, without the network. @throws OpenlineError DATA_DIR_UNUSABLE */
export async function createPackLibrary(deps: PackLibraryDeps, config: PackLibraryConfig): Promise<PackLibrary> {
  const { log, readPack = readPackHere } = deps;
  const cache = createPackCache(config.dataDir);
  const entries = new Map<string, Entry>();
  const pending = new Map<string, Promise<void>>();
  const refused = new Map<string, string>();
  /** Held on for tasks that are under way: nothing is watched for any more. */
  const unwanted = new Set<string>();
  const listeners: (() => Promise<void>)[] = [];
  let loaded = false;
  /** Wanted sets are made true one after the other. */
  let turn: Promise<unknown> = Promise.resolve();

  for (const cached of await cache.list()) {
    try {
      verify(cached, keys());
      const { digest, name, version } = cached;
      entries.set(digest, { digest, name, version, pack: undefined, tasks: undefined });
    } catch (error) {
      log.warn(
        { pack: cached.name, digest: cached.digest, why: reasonOf(error) },
        'a cached pack is not usable, removed',
      );
      await cache.remove(cached.digest);
    }
  }

  function keys(): PublicKey[] {
    return deps.trustedKeys().map(parsePublicKey);
  }

  /** From now on until `done` is called whoever looks the pack up is told to wait. */
  function begin(digest: string): { done: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    pending.set(digest, promise);
    return {
      done() {
        pending.delete(digest);
        resolve();
      },
    };
  }

  async function read({ name, version, content }: CachedPack): Promise<Pack> {
    const pack = await readPack(content, `${name}.yaml`);
    if (pack.name === name && pack.version === version) return pack;
    throw new OpenlineError('PACK_INVALID', `announced as ${name} ${version}, but it is ${pack.name} ${pack.version}`);
  }

  async function open(entry: Entry): Promise<void> {
    try {
      const cached = await cache.read(entry.digest);
      verify(cached, keys());
      const pack = await read(cached);
      entry.tasks = await heldTasks(cache, entry.digest, pack);
      entry.pack = pack;
    } catch (error) {
      refused.set(entry.digest, reasonOf(error));
      entries.delete(entry.digest);
      log.error({ pack: entry.name, version: entry.version, why: reasonOf(error) }, 'a held pack is no longer usable');
    }
  }

  async function obtain(wanted: HeldPack, fetch: Fetch): Promise<PackState> {
    const digest = hex(wanted.digest);
    const { name, version } = wanted;
    try {
      const pack: CachedPack = { digest, name, version, ...(await fetchPatiently(wanted, fetch)) };
      verify(pack, keys());
      const newest = await cache.newest();
      const held = newest[name];
      if (held && isNewer(held, version) && !config.allowDowngrade) {
        throw new OpenlineError('PACK_DOWNGRADE', `version ${held} was held here, which is newer than ${version}`);
      }
      // Parsed before it is stored, so that what cannot be run is never reported as ready.
      const parsed = await read(pack);
      await cache.write(pack);
      const tasks = await heldTasks(cache, digest, parsed);
      if (!held || isNewer(version, held)) await cache.setNewest({ ...newest, [name]: version });
      entries.set(digest, { digest, name, version, pack: parsed, tasks });
      refused.delete(digest);
      log.info({ pack: name, version, digest }, 'holds a pack');
      return { digest: wanted.digest, ready: true, reasonCode: '', reason: '' };
    } catch (error) {
      const reason = reasonOf(error);
      const reasonCode = error instanceof OpenlineError ? error.code : 'PACK_NOT_HELD';
      refused.set(digest, reason);
      log.error({ pack: name, version, code: reasonCode, why: reason }, 'cannot hold a pack');
      return { digest: wanted.digest, ready: false, reasonCode, reason };
    }
  }

  async function fetchPatiently(wanted: HeldPack, fetch: Fetch): Promise<{ content: Buffer; signature: string }> {
    for (let attempt = 0; ; attempt++) {
      try {
        const { content, signature } = await fetch(wanted.digest);
        return { content: Buffer.from(content), signature };
      } catch (error) {
        // Without a session there is nobody to ask; the next one begins with the wanted packs.
        const offline = error instanceof OpenlineError && error.code === 'SERVER_UNREACHABLE';
        if (offline || attempt + 1 >= FETCH_ATTEMPTS) {
          throw new OpenlineError('PACK_NOT_HELD', `could not be fetched: ${reasonOf(error)}`, { cause: error });
        }
        const inMs = backoffMs(attempt, deps.random, FETCH_BACKOFF);
        await new Promise<void>((resolve) => deps.clock.after(inMs, resolve));
      }
    }
  }

  async function fulfil(
    packs: readonly HeldPack[],
    fetch: Fetch,
    settled: (digest: string) => void,
  ): Promise<PackState[]> {
    // Older first: both versions of a pack may be wanted, and the newer must not make the older a downgrade.
    const lacking = packs.filter((pack) => !entries.has(hex(pack.digest)));
    lacking.sort((a, b) => (isNewer(a.version, b.version) ? 1 : -1));
    const states: PackState[] = [];
    for (const pack of lacking) {
      states.push(await obtain(pack, fetch));
      settled(hex(pack.digest));
    }
    const wanted = new Set(packs.map((pack) => hex(pack.digest)));
    let changed = states.some(({ ready }) => ready);
    for (const { digest, name, version } of [...entries.values()]) {
      if (wanted.has(digest)) {
        changed = unwanted.delete(digest) || changed;
        continue;
      }
      if (!deps.idle()) {
        changed ||= !unwanted.has(digest);
        unwanted.add(digest);
        continue;
      }
      entries.delete(digest);
      unwanted.delete(digest);
      await cache.remove(digest);
      changed = true;
      log.info({ pack: name, version, digest }, 'a pack is no longer wanted, removed');
    }
    if (changed) await tell();
    return states;
  }

  // In the background, one after the other: the line need not wait for it, and a task that comes meanwhile does.
  const held = [...entries.values()].map((entry) => ({ entry, ...begin(entry.digest) }));
  turn = (async () => {
    for (const { entry, done } of held) await open(entry).finally(done);
    loaded = true;
    await tell();
  })();

  async function tell(): Promise<void> {
    await Promise.all(listeners.map((listener) => listener()));
  }

  return {
    held: () =>
      [...entries.values()].map(({ digest, name, version }) => ({ digest: Buffer.from(digest, 'hex'), name, version })),
    lookup(digestBytes, taskName): TaskLookup {
      const digest = hex(digestBytes);
      const entry = entries.get(digest);
      const settled = pending.get(digest);
      if (!entry?.tasks) {
        if (settled) return { kind: 'pending', settled };
        const why = refused.get(digest) ?? 'the server has not asked this agent to hold it';
        return { kind: 'absent', code: 'PACK_NOT_HELD', reason: `pack ${digest.slice(0, 12)} is not held: ${why}` };
      }
      const task = entry.tasks.get(taskName);
      if (task?.ready) return { kind: 'ready', ready: task.ready };
      if (task) return { kind: 'pending', settled: task.prepare() };
      const reason = `pack ${entry.name} ${entry.version} has no task "${taskName}"`;
      return { kind: 'absent', code: 'TASK_UNKNOWN', reason };
    },
    newest() {
      const newest = new Map<string, Pack>();
      for (const { digest, pack } of entries.values()) {
        if (unwanted.has(digest)) continue;
        const other = pack && newest.get(pack.name);
        if (pack && (!other || isNewer(pack.version, other.version))) newest.set(pack.name, pack);
      }
      return [...newest.values()];
    },
    onChange(listener) {
      listeners.push(listener);
      if (loaded) void listener();
    },
    want(packs, fetch) {
      // What is about to be fetched counts as pending at once, also while an earlier set is worked on.
      const begun = new Map<string, { done: () => void }>();
      for (const { digest } of packs) {
        const key = hex(digest);
        if (!entries.has(key) && !pending.has(key)) begun.set(key, begin(key));
      }
      const states = turn
        .then(() => fulfil(packs, fetch, (digest) => begun.get(digest)?.done()))
        .finally(() => {
          for (const { done } of begun.values()) done();
        });
      turn = states.catch(() => undefined);
      return states;
    },
  };
}

function verify({ digest, content, signature }: CachedPack, keys: readonly PublicKey[]): void {
  if (hex(digestOf(content)) !== digest) {
    throw new OpenlineError('PACK_SIGNATURE_INVALID', `the bytes are not those of digest ${digest.slice(0, 12)}`);
  }
  verifyPack(content, signature, keys);
}

async function heldTasks(cache: PackCache, digest: string, pack: Pack): Promise<ReadonlyMap<string, HeldTask>> {
  const scripts = await cache.scripts(digest, pack);
  const about = { packName: pack.name, packVersion: pack.version };
  return new Map(
    [...pack.tasks].map(([name, task]) => {
      const withCheck = (validate: ReadyTask['validate']): ReadyTask => ({
        ...about,
        task,
        scriptPath: scripts.get(name),
        validate,
      });
      let preparing: Promise<void> | undefined;
      const held: HeldTask = {
        ready: takesParameters(task) ? undefined : withCheck(expectNone),
        prepare() {
          // The checker of schemas is loaded by the first task that takes parameters, as it, too, stays in memory.
          preparing ??= Promise.all([import('@openline/packs/parameters'), import('@openline/packs/coerce')]).then(
            ([{ compileParameters }, { coerceSome }]) => {
              const check = compileParameters(task);
              held.ready = withCheck((parameters, asText = []) =>
                check(asText.length === 0 ? parameters : coerceSome(task, parameters, asText)),
              );
            },
          );
          return preparing;
        },
      };
      return [name, held];
    }),
  );
}

function takesParameters({ parametersSchema }: PackTask): boolean {
  const properties = parametersSchema['properties'];
  return typeof properties === 'object' && properties !== null && Object.keys(properties).length > 0;
}

function expectNone(parameters: unknown): Record<string, unknown> {
  if (typeof parameters === 'object' && parameters !== null && Object.keys(parameters).length === 0) return {};
  throw new OpenlineError('PARAMETERS_INVALID', 'the task takes no parameters');
}

function isNewer(a: string, b: string): boolean {
  return isVersion(a) && isVersion(b) && compareVersions(a, b) > 0;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
