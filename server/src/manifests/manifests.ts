import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseSecretKey, signPack } from '@openline/packs';
import type { Principal } from '../access/access.ts';
import type { Clock } from '../clock.ts';
import type { DeclaredService } from '../declared/declared-service.ts';
import type { PackService } from '../packs/pack-service.ts';
import type { Logger } from '../telemetry/logger.ts';

export interface ManifestDeps {
  readonly packs: Pick<PackService, 'push' | 'wanted' | 'remove'>;
  readonly declared: Pick<DeclaredService, 'apply' | 'kinds' | 'list' | 'remove'>;
  readonly clock: Pick<Clock, 'sleep'>;
  readonly log: Pick<Logger, 'info' | 'error'>;
}

export interface ManifestConfig {
  /** Each is read flat, as a ConfigMap is mounted. */
  readonly directories: readonly string[];
  /** Signs packs that have no `.minisig` beside them; need not be there. */
  readonly packKeyFile: string;
}

export interface Manifests {
  stop(): void;
}

interface SourceFile {
  readonly name: string;
  readonly content: Buffer;
  readonly signature: string | undefined;
}

/** What was brought by files is known by it: what is gone from the files goes. */
const BY: Principal = { id: 'manifests', name: 'manifests', role: 'admin' };
const CHECK_MS = 10_000;

/**
 * Files are the truth: packs, channels, subscriptions and whatever else is declared, from directories that something else keeps, such as a
 * ConfigMap. Read before this resolves, and again every ten seconds. What cannot be taken is logged, and what held before holds on.
 */
export async function startManifests(deps: ManifestDeps, config: ManifestConfig): Promise<Manifests> {
  const { log, clock } = deps;
  const stopping = new AbortController();
  /** What the files held when all of it was taken. */
  let taken: string | undefined;
  let complaint = '';

  /** @throws Error of all that could not be taken; the rest was */
  async function look(): Promise<void> {
    const files = config.directories.flatMap(readDirectory);
    const seen = files.map(({ name, content, signature }) => [name, content.toString('latin1'), signature]);
    const fingerprint = JSON.stringify(seen);
    if (fingerprint === taken) return;
    const outcomes = await Promise.allSettled([
      takePacks(deps, files.filter(isPack), config.packKeyFile),
      takeDeclared(
        deps,
        files.filter((file) => !isPack(file)),
      ),
    ]);
    const failures = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [reasonOf(outcome.reason)] : []));
    if (failures.length > 0) throw new Error(failures.join('; '));
    taken = fingerprint;
  }

  /** What went wrong is tried again at each look, and told once. */
  async function attempt(): Promise<void> {
    try {
      await look();
      complaint = '';
    } catch (error) {
      if (reasonOf(error) !== complaint) log.error({ err: error }, 'manifests cannot be taken');
      complaint = reasonOf(error);
    }
  }

  async function follow(): Promise<void> {
    for (;;) {
      await clock.sleep(CHECK_MS, stopping.signal);
      if (stopping.signal.aborted) return;
      await attempt();
    }
  }

  await attempt();
  void follow();
  return { stop: () => stopping.abort() };
}

function readDirectory(directory: string): SourceFile[] {
  const names = readdirSync(directory).filter((name) => /\.ya?ml$/.test(name) && !/\.test\.ya?ml$/.test(name));
  return names.sort().map((name) => {
    const file = join(directory, name);
    return { name: file, content: readFileSync(file), signature: readIfThere(`${file}.minisig`) };
  });
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function isPack({ content }: SourceFile): boolean {
  return /^kind:\s*(["']?)Pack\1\s*(#.*)?$/m.test(content.toString('utf8'));
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** One that is wrong does not keep the others out. @throws Error of those that are */
async function takePacks({ packs, log }: ManifestDeps, files: readonly SourceFile[], keyFile: string): Promise<void> {
  const kept = new Set<string>();
  const failures: string[] = [];
  for (const { name, content, signature } of files) {
    try {
      const signed = signature ?? signPack(content, parseSecretKey(readFileSync(keyFile, 'utf8')), `from ${name}`);
      const { stored, unchanged } = await packs.push(BY, content, signed, name);
      kept.add(stored.pack.name);
      if (!unchanged)
        log.info({ file: name, pack: stored.pack.name, version: stored.pack.version }, 'a pack was taken');
    } catch (error) {
      const reason = reasonOf(error);
      failures.push(reason.includes(name) ? reason : `${name}: ${reason}`);
    }
  }
  // Whoever cannot be read may be the one that seems to be gone.
  if (failures.length > 0) throw new Error(failures.join('; '));
  for (const { pack, pushedBy } of [...packs.wanted()]) {
    if (pushedBy !== BY.name || kept.has(pack.name)) continue;
    await packs.remove(BY, pack.name);
    log.info({ pack: pack.name }, 'a pack was removed: no file holds it any more');
  }
}

async function takeDeclared({ declared, log }: ManifestDeps, files: readonly SourceFile[]): Promise<void> {
  // No document at all is a mistake to `apply`; here it means that nothing is declared.
  const applied = files.length === 0 ? [] : await declared.apply(BY, files, { dryRun: false });
  const changed = applied.filter(({ outcome }) => outcome !== 'unchanged');
  if (changed.length > 0)
    log.info({ objects: changed.map(({ kind, name }) => `${kind}/${name}`) }, 'declared objects were taken');
  const named = new Set(applied.map(({ kind, name }) => `${kind}/${name}`));
  const gone = (await Promise.all(declared.kinds().map(({ kind }) => declared.list(kind))))
    .flat()
    .filter(({ kind, name, updatedBy }) => updatedBy === BY.name && !named.has(`${kind}/${name}`));
  // What needs another one goes first: again and again, until nothing more can.
  for (let left = gone; left.length > 0; ) {
    const stuck: typeof left = [];
    let failure: unknown;
    for (const object of left) {
      await declared.remove(BY, object.kind, object.name).catch((error: unknown) => {
        failure = error;
        stuck.push(object);
      });
    }
    if (stuck.length === left.length) throw failure;
    left = stuck;
  }
  if (gone.length > 0)
    log.info({ objects: gone.map(({ kind, name }) => `${kind}/${name}`) }, 'declared objects were removed');
}
