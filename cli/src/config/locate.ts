import { dirname, resolve } from 'node:path';
import { CliError } from '../failure.ts';
import type { Io } from '../io.ts';
import { type Address, parseAddress } from './address.ts';
import { type ConfigFile, type Context, configPath, readConfig } from './file.ts';
import { candidates, findLocalServer, type LocalServer, type PassedOver, readSecret } from './local-server.ts';

export interface ConnectionFlags {
  readonly server?: string | undefined;
  readonly token?: string | undefined;
  /** Path of a PEM file. */
  readonly ca?: string | undefined;
  readonly context?: string | undefined;
}

/** Where the server is, what proves it and what proves us; each with where it was said, for `-v` and `openline doctor`. */
export interface Connection {
  readonly address: Address;
  readonly addressFrom: string;
  readonly token: string | undefined;
  readonly tokenFrom: string | undefined;
  /** PEM; undefined: the certificate authorities that Node trusts. */
  readonly ca: string | undefined;
  readonly caFrom: string | undefined;
  /** The client.json in use, if so. */
  readonly localServer: string | undefined;
}

/** A server with the credentials that were stored for it. They are never sent to any other server. */
interface Bundle {
  readonly from: string;
  readonly address: Address;
  readonly token: () => Promise<string | undefined>;
  readonly ca: () => Promise<string | undefined>;
  readonly localServer?: string;
}

/**
 * Precedence: flags, environment, the config file's context, the client.json of a server on this machine.
 * @throws CliError CONFIG_INVALID
 */
export async function locate(flags: ConnectionFlags, io: Io): Promise<Connection> {
  const env = (key: string) => io.env[key] || undefined;
  const path = configPath(io.env, io.home);
  const config = await readConfig(path);

  if (flags.server !== undefined || (flags.context === undefined && env('OPENLINE_SERVER') !== undefined)) {
    const [text, from] =
      flags.server !== undefined ? [flags.server, '--server'] : [env('OPENLINE_SERVER') ?? '', 'OPENLINE_SERVER'];
    const address = parseAddress(text, from);
    const named = flags.context ?? env('OPENLINE_CONTEXT');
    const stored = await storedFor(address, config, path, named, io);
    return finish({ address, addressFrom: from, stored, flags, io });
  }

  const named = flags.context ?? env('OPENLINE_CONTEXT') ?? config.currentContext;
  if (named !== undefined) {
    const stored = contextBundle(contextNamed(config, named, path), path);
    return finish({ address: stored.address, addressFrom: stored.from, stored, flags, io });
  }

  const { found, passedOver } = await findLocalServer(candidates(io.cwd, io.env, io.home));
  if (found === undefined) throw noServer(path, passedOver);
  const stored = localBundle(found);
  return finish({ address: stored.address, addressFrom: stored.from, stored, flags, io });
}

/** What is stored for that very address: first the named or current context, then any other, then a local server's. */
async function storedFor(
  address: Address,
  config: ConfigFile,
  path: string,
  named: string | undefined,
  io: Io,
): Promise<Bundle | undefined> {
  const first = named ?? config.currentContext;
  const ordered = [...config.contexts].sort((a, b) => Number(b.name === first) - Number(a.name === first));
  for (const context of ordered) {
    const bundle = contextBundle(context, path);
    if (bundle.address.text === address.text) return bundle;
  }
  const { found } = await findLocalServer(candidates(io.cwd, io.env, io.home));
  if (found === undefined) return undefined;
  const bundle = localBundle(found);
  return bundle.address.text === address.text ? bundle : undefined;
}

async function finish(input: {
  address: Address;
  addressFrom: string;
  stored: Bundle | undefined;
  flags: ConnectionFlags;
  io: Io;
}): Promise<Connection> {
  const { address, addressFrom, stored, flags, io } = input;
  // A variable that was not set: to go on with a stored token would be to act as somebody else.
  if (flags.token?.trim() === '')
    throw new CliError('CONFIG_INVALID', '--token is empty', 'Give the token, or leave --token out.');
  const envToken = io.env['OPENLINE_TOKEN'] || undefined;
  const envCa = io.env['OPENLINE_CA'] || undefined;
  const storedToken = async () => pick(await stored?.token(), stored?.from);
  const storedCa = async () => pick(await stored?.ca(), stored?.from);
  const readCa = async (file: string, from: string) => {
    const path = resolve(io.cwd, file);
    const value = await readSecret(path, from);
    // Else no server would be trusted, and only its certificate would be spoken of.
    if (!value.includes('-----BEGIN CERTIFICATE-----'))
      throw new CliError(
        'CONFIG_INVALID',
        `${from}: ${path} holds no certificate (PEM)`,
        'Give the ca/ca.pem of the server’s data directory, or what `openline ca bundle` writes.',
      );
    return { value, from };
  };
  // A context named by flag goes over the environment, as any flag does.
  const contextFirst = flags.context !== undefined;
  const token =
    pick(flags.token, '--token') ??
    (contextFirst ? await storedToken() : undefined) ??
    pick(envToken, 'OPENLINE_TOKEN') ??
    (await storedToken());
  const ca =
    (flags.ca !== undefined ? await readCa(flags.ca, '--ca') : undefined) ??
    (contextFirst ? await storedCa() : undefined) ??
    (envCa !== undefined ? await readCa(envCa, 'OPENLINE_CA') : undefined) ??
    (await storedCa());
  return {
    address,
    addressFrom,
    token: token?.value.trim(),
    tokenFrom: token?.from,
    ca: ca?.value,
    caFrom: ca?.from,
    localServer: stored?.localServer,
  };
}

function pick(value: string | undefined, from: string | undefined): { value: string; from: string } | undefined {
  return value === undefined || value === '' || from === undefined ? undefined : { value, from };
}

function contextNamed(config: ConfigFile, name: string, path: string): Context {
  const context = config.contexts.find((each) => each.name === name);
  if (context !== undefined) return context;
  const known = config.contexts.map((each) => each.name).join(', ') || 'none';
  throw new CliError(
    'CONFIG_INVALID',
    `${path} has no context ${name}; it has: ${known}`,
    'Choose one: `openline context use NAME`, or make it: `openline context set`.',
  );
}

function contextBundle(context: Context, path: string): Bundle {
  const from = `context ${context.name} (${path})`;
  const file = async (name: string | undefined, key: string) =>
    name === undefined ? undefined : readSecret(resolve(dirname(path), name), `${from}, ${key}`);
  return {
    from,
    address: parseAddress(context.server, from),
    token: async () => context.token ?? (await file(context.tokenFile, 'token-file'))?.trim(),
    ca: async () => context.ca ?? (await file(context.caFile, 'ca-file')),
  };
}

function localBundle(found: LocalServer): Bundle {
  return {
    from: found.path,
    address: parseAddress(found.server, found.path),
    token: async () => found.token,
    ca: async () => found.ca,
    localServer: found.path,
  };
}

function noServer(path: string, passedOver: readonly PassedOver[]): CliError {
  const also = passedOver.map((each) => `\n${each.path} was passed over: ${each.why}`).join('');
  return new CliError(
    'CONFIG_INVALID',
    `no management server is named: no --server, no OPENLINE_SERVER, no current context in ${path}, and none runs here${also}`,
    'Start one here with `openline server`, or name one: `openline context set NAME --server HOST:PORT --ca FILE --token -`.',
  );
}
