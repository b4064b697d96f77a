import { existsSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import type { Binaries } from './binaries.ts';

/** How to start the PostgreSQL programs: they refuse to run as root. */
export interface RunAs {
  /** Who must own PostgreSQL's files; undefined: whoever we are. */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
  command(program: string, args: readonly string[]): Command;
}

export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly identity: { readonly uid?: number; readonly gid?: number };
}

const NOBODY = 65_534;

/** @param directory PostgreSQL's own directory; exists */
export function chooseRunAs(binaries: Binaries, directory: string): RunAs {
  if (process.getuid?.() !== 0) {
    return { owner: undefined, command: (file, args) => ({ file, args, identity: {} }) };
  }
  const owner = { uid: NOBODY, gid: NOBODY };
  for (const program of [binaries.initdb, binaries.postgres]) {
    // No capability short of all of them would help here.
    if (!allowed(program, 0o1)) {
      throw new OpenlineError(
        'DATABASE_FAILED',
        `PostgreSQL does not run as root, and the user “nobody” may not execute ${program}: run chmod -R o+rX ${binaries.nativeDir}, start the server as an ordinary user, or give --database-url`,
      );
    }
  }
  const reachable = [directory, binaries.nativeDir].every(
    (path) => allowed(path, 0o1) && ancestors(path).every((parent) => allowed(parent, 0o1)),
  );
  if (reachable) return { owner, command: (file, args) => ({ file, args, identity: owner }) };

  // Below a closed directory such as /root: may look through directories, but owns and writes only what is its own.
  const setpriv = findProgram('setpriv');
  if (setpriv === undefined) {
    throw new OpenlineError(
      'DATABASE_FAILED',
      `PostgreSQL does not run as root, and the user “nobody” cannot reach ${directory} or ${binaries.nativeDir}: install setpriv (package util-linux), choose another --data-dir (or installation folder), start the server as an ordinary user, or give --database-url`,
    );
  }
  const become = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];
  const see = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
  return {
    owner,
    command: (file, args) => ({ file: setpriv, args: [...become, ...see, file, ...args], identity: {} }),
  };
}

/** Whether mode bits let nobody do it. Access lists are not asked: where they matter, setpriv serves as well. */
function allowed(path: string, bit: number): boolean {
  const { mode, uid, gid } = statSync(path);
  const shift = uid === NOBODY ? 6 : gid === NOBODY ? 3 : 0;
  return ((mode >> shift) & bit) === bit;
}

function ancestors(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [parent, ...ancestors(parent)];
}

function findProgram(name: string): string | undefined {
  const directories = `${process.env['PATH'] ?? ''}${delimiter}/usr/bin${delimiter}/bin`.split(delimiter);
  return directories.map((directory) => join(directory, name)).find((file) => existsSync(file));
}
