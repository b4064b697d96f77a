import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Interpreter, Pack } from '@openline/packs';
import { makePrivateDirectory, syncDirectory, unusable, writeFileAtomically } from '../files.ts';

export interface CachedPack {
  /** Hexadecimal. */
  readonly digest: string;
  readonly name: string;
  readonly version: string;
  readonly content: Buffer;
  readonly signature: string;
}

/**
 * Packs on disk, a directory for each: packs/<digest>/{pack.yaml, pack.minisig, pack.json, scripts/}. Nothing in it is believed: the
 * library verifies what it reads.
 */
export interface PackCache {
  /** Those that are complete; what is half-written is removed. @throws OpenlineError DATA_DIR_UNUSABLE */
  list(): Promise<CachedPack[]>;
  read(digest: string): Promise<CachedPack>;
  /** @throws OpenlineError DATA_DIR_UNUSABLE */
  write(pack: CachedPack): Promise<void>;
  remove(digest: string): Promise<void>;
  /**
   * Makes the script files be what the pack says.
   * @returns absolute paths by task
   * @throws OpenlineError DATA_DIR_UNUSABLE
   */
  scripts(digest: string, pack: Pack): Promise<ReadonlyMap<string, string>>;
  /** The newest version ever held of each pack. */
  newest(): Promise<Record<string, string>>;
  setNewest(versions: Readonly<Record<string, string>>): Promise<void>;
}

const DIGEST = /^[0-9a-f]{64}$/;
const NEWEST = 'newest.json';
/** PowerShell runs no file without its suffix. */
const SUFFIX: Partial<Record<Interpreter, string>> = { pwsh: '.ps1', node: '.mjs' };

export function createPackCache(dataDir: string): PackCache {
  const dir = join(dataDir, 'packs');
  const at = (digest: string, ...rest: string[]) => join(dir, digest, ...rest);

  const read = async (digest: string): Promise<CachedPack> => {
    const [content, signature, about] = await Promise.all([
      readFile(at(digest, 'pack.yaml')),
      readFile(at(digest, 'pack.minisig'), 'utf8'),
      readFile(at(digest, 'pack.json'), 'utf8'),
    ]);
    const { name = '', version = '' } = stringsOf(about);
    return { digest, name, version, content, signature };
  };

  return {
    async list() {
      await makePrivateDirectory(dir);
      const packs: CachedPack[] = [];
      for (const name of await readdir(dir)) {
        if (name === NEWEST) continue;
        const pack = DIGEST.test(name) ? await read(name).catch(() => undefined) : undefined;
        if (pack) packs.push(pack);
        else await rm(join(dir, name), { recursive: true, force: true });
      }
      return packs;
    },
    read,
    async write({ digest, name, version, content, signature }) {
      // Complete before it has its name: a directory named by a digest is never half-written by us.
      const temporary = join(dir, `.tmp-${randomBytes(6).toString('hex')}`);
      try {
        await mkdir(temporary, { recursive: true, mode: 0o700 });
        await writeSynced(join(temporary, 'pack.yaml'), content);
        await writeSynced(join(temporary, 'pack.minisig'), signature);
        await writeSynced(join(temporary, 'pack.json'), JSON.stringify({ name, version }));
        await rm(at(digest), { recursive: true, force: true });
        await rename(temporary, at(digest));
        await syncDirectory(dir);
      } catch (cause) {
        await rm(temporary, { recursive: true, force: true }).catch(() => undefined);
        throw unusable(at(digest), cause);
      }
    },
    remove: (digest) => rm(at(digest), { recursive: true, force: true }),
    async scripts(digest, pack) {
      const paths = new Map<string, string>();
      for (const { name, runner } of pack.tasks.values()) {
        if (runner.kind !== 'script') continue;
        await makePrivateDirectory(at(digest, 'scripts'));
        const path = at(digest, 'scripts', `${name}${SUFFIX[runner.interpreter] ?? ''}`);
        const present = await readFile(path, 'utf8').catch(() => undefined);
        if (present !== runner.source) await writeFileAtomically(path, runner.source, 0o500);
        paths.set(name, path);
      }
      return paths;
    },
    newest: async () => stringsOf(await readFile(join(dir, NEWEST), 'utf8').catch(() => '{}')),
    async setNewest(versions) {
      await writeFileAtomically(join(dir, NEWEST), JSON.stringify(versions));
    },
  };
}

async function writeSynced(path: string, content: string | Uint8Array): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The string fields of a JSON object; of anything else none. */
function stringsOf(json: string): Record<string, string> {
  try {
    const raw: unknown = JSON.parse(json);
    if (typeof raw !== 'object' || raw === null) return {};
    return Object.fromEntries(
      Object.entries(raw).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    );
  } catch {
    return {};
  }
}
