import { open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { isErrno } from '../config/file.ts';
import { candidates, findLocalServer, readSecret } from '../config/local-server.ts';
import { CliError, EXIT, fileProblem, usageError, writeProblem } from '../failure.ts';
import type { Io } from '../io.ts';
import { readWhole } from '../read-whole.ts';
import { plural } from '../render/text.ts';

/** A path, or the name of a pack that we ship. @throws CliError PACK_UNKNOWN, REQUEST_INVALID */
export async function findPackFile(file: string, io: Pick<Io, 'cwd'>): Promise<{ path: string; content: Buffer }> {
  const path = resolve(io.cwd, file);
  const content = await readIfThere(path, 'pack');
  if (content !== undefined) return { path, content };
  const shipped = await findShipped(file);
  if (shipped !== undefined) return shipped;
  const folder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  throw new CliError(
    'REQUEST_INVALID',
    folder ? `${file} is a folder` : `there is no file ${file}, and no shipped pack of that name`,
    folder
      ? `Give the packs in it, e.g. ${join(file, '*.yaml')}.`
      : 'Give the path of a pack, or `utility` or `linux`.',
  );
}

/** @param name of a pack that comes with Openline */
export async function findShipped(name: string): Promise<{ path: string; content: Buffer } | undefined> {
  if (!/^[a-z0-9-]+$/.test(name)) return undefined;
  for (let dir = import.meta.dirname; dir !== dirname(dir); dir = dirname(dir)) {
    const path = join(dir, 'packs', 'shipped', `${name}.yaml`);
    const content = await readIfThere(path, 'pack');
    if (content !== undefined) return { path, content };
  }
  return undefined;
}

async function readIfThere(path: string, as: 'pack' | 'credentials'): Promise<Buffer | undefined> {
  try {
    return await readWhole(path, as);
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EISDIR')) return undefined;
    throw new CliError(
      'REQUEST_INVALID',
      `cannot read ${path}: ${fileProblem(error)}`,
      'Correct the path or what is there.',
      {
        cause: error,
      },
    );
  }
}

/** The key of this site: made by the server at its first start, beside its client.json. */
function siteKey(localServer: string | undefined): string | undefined {
  return localServer === undefined ? undefined : join(dirname(localServer), 'keys', 'packs.key');
}

/** The public keys that the server on this machine trusts. */
async function siteTrustedKeys(localServer: string | undefined): Promise<string[]> {
  if (localServer === undefined) return [];
  const dir = join(dirname(localServer), 'trusted-keys');
  const names = await readdir(dir).catch(() => []);
  return names.filter((name) => name.endsWith('.pub')).map((name) => join(dir, name));
}

/** --key signs; else FILE.minisig, when it is there; else the site key signs. */
export async function signatureFor(input: {
  path: string;
  content: Buffer;
  key: string | undefined;
  localServer: string | undefined;
  io: Pick<Io, 'cwd' | 'nowMs'>;
}): Promise<{ signature: string; signedBy: string }> {
  const { path, content, key, localServer, io } = input;
  if (key !== undefined) return sign(path, content, resolve(io.cwd, key), io);
  const beside = await readIfThere(`${path}.minisig`, 'credentials');
  if (beside !== undefined) return { signature: beside.toString('utf8'), signedBy: `${basename(path)}.minisig` };
  const site = siteKey(localServer);
  if (site !== undefined && (await readIfThere(site, 'credentials')) !== undefined)
    return sign(path, content, site, io);
  throw usageError(
    `${basename(path)} is not signed, and there is no key to sign it with`,
    `Give --key FILE, or sign it first: \`openline packs sign ${path} --key FILE\`.`,
  );
}

/** What is wrong with a file, with its name. */
function inFile<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof OpenlineError)) throw error;
    throw new CliError(
      error.code,
      `${path}: ${error.message}`,
      'Name the right file; `openline packs keygen` makes PREFIX.key, to sign with, and PREFIX.pub, to verify with.',
      { cause: error },
    );
  }
}

async function sign(path: string, content: Buffer, keyPath: string, io: Pick<Io, 'nowMs'>) {
  const { parseSecretKey, signPack } = await import('@openline/packs');
  const text = await readSecret(keyPath, '--key');
  const key = inFile(keyPath, () => parseSecretKey(text));
  const comment = `file:${basename(path)} signed:${new Date(io.nowMs()).toISOString()}`;
  return { signature: signPack(content, key, comment), signedBy: `key ${key.keyId}` };
}

export async function signCommand(
  files: readonly string[],
  flags: { key?: string | undefined },
  io: Io,
): Promise<number> {
  const { found } = await findLocalServer(candidates(io.cwd, io.env, io.home));
  const keyPath = flags.key === undefined ? siteKey(found?.path) : resolve(io.cwd, flags.key);
  if (keyPath === undefined)
    throw usageError('there is no key to sign with', 'Give --key FILE; `openline packs keygen` makes one.');
  const { parsePack } = await import('@openline/packs');
  const packs = [];
  for (const file of files) {
    const pack = await findPackFile(file, io);
    // Whoever holds a signature trusts what it is of. All are read before the first is signed.
    parsePack(pack.content, file);
    packs.push(pack);
  }
  for (const { path, content } of packs) {
    const { signature, signedBy } = await sign(path, content, keyPath, io);
    await write(`${path}.minisig`, signature, 0o644, true);
    io.out.write(`${path}.minisig (${signedBy})\n`);
  }
  return EXIT.ok;
}

export async function verifyCommand(
  files: readonly string[],
  flags: { publicKey?: readonly string[] | undefined },
  io: Io,
): Promise<number> {
  const { parsePublicKey, verifyPack } = await import('@openline/packs');
  const { found } = await findLocalServer(candidates(io.cwd, io.env, io.home));
  const given = flags.publicKey ?? (await siteTrustedKeys(found?.path));
  if (given.length === 0)
    throw usageError('there is no public key to verify with', 'Give --public-key FILE, or the key itself.');
  const keys = [];
  for (const each of given) {
    if (each.startsWith('RW')) keys.push(parsePublicKey(each));
    else {
      const keyPath = resolve(io.cwd, each);
      const text = await readSecret(keyPath, '--public-key');
      keys.push(inFile(keyPath, () => parsePublicKey(text)));
    }
  }
  for (const file of files) {
    const { path, content } = await findPackFile(file, io);
    const signature = await readIfThere(`${path}.minisig`, 'credentials');
    const { keyId, trustedComment } = verifyPack(content, signature?.toString('utf8') ?? '', keys);
    io.out.write(`${file}: signed by key ${keyId} (${trustedComment})\n`);
  }
  return EXIT.ok;
}

export async function keygenCommand(prefix: string, io: Io): Promise<number> {
  const { generateKeyPair } = await import('@openline/packs');
  const { keyId, publicKey, secretKey } = generateKeyPair('openline packs');
  const path = resolve(io.cwd, prefix);
  await write(`${path}.key`, secretKey, 0o600, false);
  await write(`${path}.pub`, publicKey, 0o644, false);
  io.out.write(`${path}.key   secret: sign with it, and keep it off the servers and agents\n`);
  io.out.write(`${path}.pub   public: key ${keyId}; add it to the trusted keys of server and agents\n`);
  return EXIT.ok;
}

/** A secret key is never overwritten: the packs signed with it could not be updated any more. */
async function write(path: string, text: string, mode: number, overwrite: boolean): Promise<void> {
  try {
    const file = await open(path, overwrite ? 'w' : 'wx', mode);
    try {
      await file.writeFile(text);
    } finally {
      await file.close();
    }
  } catch (error) {
    const problem = `cannot write ${path}: ${writeProblem(error)}`;
    throw new CliError('REQUEST_INVALID', problem, 'Choose another name.', { cause: error });
  }
}

/** "8 tasks, 3 rules" */
export function contentsText(tasks: number, rules: number, monitors: number): string {
  const counts = [
    [tasks, 'task'],
    [rules, 'rule'],
    [monitors, 'monitor'],
  ] as const;
  return counts.flatMap(([count, what]) => (count === 0 ? [] : plural(count, what))).join(', ');
}

export async function lintCommand(files: readonly string[], io: Io): Promise<number> {
  const { parsePack } = await import('@openline/packs');
  let broken = 0;
  for (const file of files) {
    const { content } = await findPackFile(file, io);
    try {
      const pack = parsePack(content, file);
      io.out.write(
        `${file}: ${pack.name} ${pack.version}, ${contentsText(pack.tasks.size, pack.rules.size, pack.monitors.size)}, no problems\n`,
      );
    } catch (error) {
      broken += 1;
      // Each line is file:line:column: sentence, as editors and CI read it.
      io.err.write(`${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
  return broken === 0 ? EXIT.ok : EXIT.badRequest;
}
