import { open } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { CliError, fileProblem } from '../failure.ts';
import type { Env } from '../io.ts';
import { readWhole } from '../read-whole.ts';
import { isErrno } from './file.ts';

/** What a server on this machine leaves for its operators, in its data directory. */
export interface LocalServer {
  /** The client.json. */
  readonly path: string;
  readonly server: string;
  readonly ca: string | undefined;
  readonly token: string | undefined;
}

/** A client.json that is there and was not used, and why. */
export interface PassedOver {
  readonly path: string;
  readonly why: string;
}

/** Where it is looked for: here and upwards, then the default data directories. */
export function candidates(cwd: string, env: Env, home: string): string[] {
  const found: string[] = [];
  for (let dir = resolve(cwd); ; dir = dirname(dir)) {
    found.push(join(dir, '.openline', 'server', 'client.json'));
    if (dirname(dir) === dir) break;
  }
  const share = env['XDG_DATA_HOME'] || join(home, '.local', 'share');
  return [...found, '/var/lib/openline/server/client.json', join(share, 'openline', 'server', 'client.json')];
}

export async function findLocalServer(
  paths: readonly string[],
  uid = process.getuid?.(),
): Promise<{ found: LocalServer | undefined; passedOver: PassedOver[] }> {
  const passedOver: PassedOver[] = [];
  for (const path of paths) {
    const read = await readOwned(path, uid);
    if (read.kind === 'none') continue;
    if (read.kind === 'refused') passedOver.push({ path, why: read.why });
    else return { found: await parse(path, read.text), passedOver };
  }
  return { found: undefined, passedOver };
}

type Read = { kind: 'none' } | { kind: 'refused'; why: string } | { kind: 'text'; text: string };

/** A file that another user planted in a shared directory would send our requests to their server: only ours and root's count. */
async function readOwned(path: string, uid: number | undefined): Promise<Read> {
  try {
    const file = await open(path, 'r');
    try {
      const { uid: owner } = await file.stat();
      if (uid !== undefined && owner !== uid && owner !== 0 && uid !== 0) {
        return { kind: 'refused', why: 'it belongs to another user' };
      }
      return {
        kind: 'text',
        text: (await readWhole(file.createReadStream({ autoClose: false }), 'contexts')).toString('utf8'),
      };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return { kind: 'none' };
    return { kind: 'refused', why: isErrno(error, 'EACCES', 'EPERM') ? 'you may not read it' : fileProblem(error) };
  }
}

async function parse(path: string, text: string): Promise<LocalServer> {
  let raw: Record<string, unknown>;
  try {
    raw = { ...JSON.parse(text) };
  } catch {
    throw new CliError(
      'CONFIG_INVALID',
      `${path} is not JSON`,
      'Restart the server, which writes it anew, or name a server with --server.',
    );
  }
  const field = (key: string): string | undefined => {
    const value = raw[key];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const fromFile = async (key: string): Promise<string | undefined> => {
    const file = field(key);
    return file === undefined ? undefined : readSecret(resolve(dirname(path), file), `${path}: ${key}`);
  };
  const server = field('server');
  if (server === undefined)
    throw new CliError('CONFIG_INVALID', `${path}: \`server\` is missing`, 'Restart the server, which writes it anew.');
  const ca = field('ca') ?? (await fromFile('caFile'));
  const token = field('token') ?? (await fromFile('tokenFile'))?.trim();
  return { path, server, ca, token };
}

/** @throws CliError CONFIG_INVALID naming the file and who named it */
export async function readSecret(path: string, namedBy: string): Promise<string> {
  try {
    return (await readWhole(path, 'credentials')).toString('utf8');
  } catch (error) {
    throw new CliError(
      'CONFIG_INVALID',
      `${namedBy}: cannot read ${path}: ${fileProblem(error)}`,
      'Correct the path, or make the file readable for you.',
      { cause: error },
    );
  }
}
