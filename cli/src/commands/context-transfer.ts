import { resolve } from 'node:path';
import { AccessServiceService, TokenKind } from '@openline/proto/operator';
import { parseDuration } from '../args/duration.ts';
import { parseAddress } from '../config/address.ts';
import { configPath, parseConfigText, readConfig, renderConfig, writeConfig } from '../config/file.ts';
import { CliError, EXIT, fileProblem, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { readWhole } from '../read-whole.ts';
import { type GlobalFlags, withClient } from './context.ts';

export interface ExportFlags {
  readonly for: string;
  readonly role?: string | undefined;
  readonly ttl: string;
  readonly address?: string | undefined;
}

/** From where the server and its CA are known to where they are not: one context, with a token of its own, in the form of the config file. */
export function exportContext(name: string, flags: ExportFlags, global: GlobalFlags, io: Io): Promise<number> {
  const ttlMs = BigInt(parseDuration(flags.ttl, '--ttl'));
  if (name.trim() === '') throw usageError('the name of the context is empty', 'Give what it is to be called there.');
  const reach = flags.address === undefined ? undefined : parseAddress(flags.address, '--address').text;
  return withClient(global, io, async (client) => {
    const { address, ca } = client.connection;
    const { token, secret } = await client.unary(AccessServiceService.createToken, {
      kind: TokenKind.TOKEN_KIND_OPERATOR,
      name: flags.for,
      role: flags.role ?? 'operator',
      ttlMs,
      labels: {},
    });
    const context = { name, server: reach ?? address.text, ...(ca === undefined ? {} : { ca }), token: secret };
    io.out.write(await renderConfig({ currentContext: name, contexts: [context] }));
    io.err.write(
      `the token of ${flags.for} is valid for ${flags.ttl}. Revoke it: \`openline tokens revoke ${token?.id ?? 'ID'}\`\n`,
    );
    return EXIT.ok;
  });
}

const PRINTED = 'Give it what `openline context export` prints.';

/** Contexts of the same name are replaced whole; the others stay. */
export async function importContexts(file: string, io: Io): Promise<number> {
  const from = file === '-' ? 'standard input' : resolve(io.cwd, file);
  const text = await read(file === '-' ? io.stdin() : from, from);
  const given = await parseConfigText(text, from).catch((error: unknown) => {
    throw error instanceof CliError ? new CliError(error.code, error.message, PRINTED, { cause: error }) : error;
  });
  if (given.contexts.length === 0) throw usageError(`${from} has no contexts`, PRINTED);
  // A path would be one of the machine that it comes from.
  const withFile = given.contexts.find(({ caFile, tokenFile }) => caFile !== undefined || tokenFile !== undefined);
  if (withFile !== undefined)
    throw usageError(
      `${from}: the context ${withFile.name} names files`,
      'Give it what `openline context export` prints: that has all in it.',
    );
  const path = configPath(io.env, io.home);
  const before = await readConfig(path);
  const names = new Set(given.contexts.map(({ name }) => name));
  const contexts = [...before.contexts.filter(({ name }) => !names.has(name)), ...given.contexts];
  const currentContext = given.currentContext ?? before.currentContext;
  await writeConfig(path, { contexts, ...(currentContext === undefined ? {} : { currentContext }) });
  for (const { name, server } of given.contexts) {
    const current = name === given.currentContext ? ', and is the current one' : '';
    io.out.write(`context ${name} (${server}) is in ${path}${current}\n`);
  }
  return EXIT.ok;
}

async function read(source: string | AsyncIterable<Uint8Array>, from: string): Promise<string> {
  try {
    return (await readWhole(source, 'contexts')).toString('utf8');
  } catch (error) {
    throw usageError(`cannot read ${from}: ${fileProblem(error)}`, 'Correct the path, or give - for standard input.');
  }
}
