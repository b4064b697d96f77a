import { resolve } from 'node:path';
import { didYouMean } from '@openline/proto/suggest';
import { parseAddress } from '../config/address.ts';
import { type ConfigFile, type Context, configPath, readConfig, writeConfig } from '../config/file.ts';
import { readSecret } from '../config/local-server.ts';
import { locate } from '../config/locate.ts';
import { CliError, EXIT, fileProblem, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { readWhole } from '../read-whole.ts';
import { printDocument, printItems, printLines } from '../render/document.ts';
import { renderTable } from '../render/table.ts';
import type { GlobalFlags, OutputFlag } from './context.ts';

/** A context as `-o json` shows it: never the token. */
interface ContextView {
  name: string;
  current: boolean;
  server: string;
  ca: 'none' | 'inline' | string;
  hasToken: boolean;
}

function viewOf(context: Context, current: string | undefined): ContextView {
  return {
    name: context.name,
    current: context.name === current,
    server: context.server,
    ca: context.ca !== undefined ? 'inline' : (context.caFile ?? 'none'),
    hasToken: context.token !== undefined || context.tokenFile !== undefined,
  };
}

export async function listContexts(flags: OutputFlag, io: Io): Promise<number> {
  const path = configPath(io.env, io.home);
  const config = await readConfig(path);
  const views = config.contexts.map((context) => viewOf(context, config.currentContext));
  if (flags.output !== 'table') await printItems(io, flags.output, views);
  else if (views.length === 0)
    io.err.write(
      `${path} has no contexts\n→ \`openline context set NAME --server HOST:PORT --ca FILE --token -\` makes one\n`,
    );
  else {
    const table = renderTable(
      [
        { title: 'CURRENT', cell: (view: ContextView) => (view.current ? '*' : ' ') },
        { title: 'NAME', cell: (view) => view.name },
        { title: 'SERVER', cell: (view) => view.server, shrinks: true },
        { title: 'CA', cell: (view) => view.ca, shrinks: true },
        { title: 'TOKEN', cell: (view) => (view.hasToken ? 'yes' : 'no') },
      ],
      views,
      io.out.screen().columns,
    );
    printLines(io, table);
  }
  return EXIT.ok;
}

export async function useContext(name: string, io: Io): Promise<number> {
  const { path, config } = await configWith(name, io);
  await writeConfig(path, { ...config, currentContext: name });
  io.out.write(`the current context is ${name}\n`);
  return EXIT.ok;
}

/** Of the current one, none is current afterwards: which server is asked next is for a person to say. */
export async function deleteContext(name: string, io: Io): Promise<number> {
  const { path, config } = await configWith(name, io);
  const { currentContext } = config;
  const isCurrent = currentContext === name;
  const contexts = config.contexts.filter((context) => context.name !== name);
  await writeConfig(path, isCurrent || currentContext === undefined ? { contexts } : { contexts, currentContext });
  io.out.write(`context ${name} is gone${isCurrent ? '; no context is the current one now' : ''}\n`);
  return EXIT.ok;
}

async function configWith(name: string, io: Io): Promise<{ path: string; config: ConfigFile }> {
  const path = configPath(io.env, io.home);
  const config = await readConfig(path);
  if (config.contexts.some((context) => context.name === name)) return { path, config };
  throw new CliError(
    'CONFIG_INVALID',
    `${path} has no context ${name}${didYouMean(
      name,
      config.contexts.map((context) => context.name),
    )}`,
    'Make it: `openline context set NAME --server HOST:PORT`; `openline context list` shows those there are.',
  );
}

/** Makes or changes a context; what is not given stays as it was. The first one made is the current one. */
export async function setContext(name: string, global: GlobalFlags, io: Io): Promise<number> {
  // Nobody could name it, and the file that holds it would not be read again.
  if (name.trim() === '')
    throw usageError('the name of the context is empty', 'Give one: `openline context set prod …`.');
  const path = configPath(io.env, io.home);
  const config = await readConfig(path);
  const before = config.contexts.find((context) => context.name === name);
  const server = global.server ?? before?.server;
  if (server === undefined)
    throw usageError(`the context ${name} is new and needs a server`, 'Add --server HOST:PORT.');
  const context: { -readonly [K in keyof Context]: Context[K] } = {
    ...before,
    name,
    server: parseAddress(server, '--server').text,
  };
  if (global.ca !== undefined) {
    context.ca = await readCa(resolve(io.cwd, global.ca));
    delete context.caFile;
  }
  if (global.token !== undefined) {
    context.token = (global.token === '-' ? await tokenFrom(io) : global.token).trim();
    if (context.token === '')
      throw usageError(
        global.token === '-' ? 'standard input held no token' : '--token is empty',
        'Give the token that `openline tokens create` printed, or leave --token out.',
      );
    delete context.tokenFile;
  }
  const contexts =
    before === undefined
      ? [...config.contexts, context]
      : config.contexts.map((each) => (each.name === name ? context : each));
  await writeConfig(path, { contexts, currentContext: config.currentContext ?? name });
  io.out.write(`context ${name} is ${before === undefined ? 'made' : 'changed'} in ${path}\n`);
  return EXIT.ok;
}

async function tokenFrom(io: Io): Promise<string> {
  try {
    return (await readWhole(io.stdin(), 'credentials')).toString('utf8');
  } catch (error) {
    throw usageError(`cannot read the token from standard input: ${fileProblem(error)}`);
  }
}

async function readCa(path: string): Promise<string> {
  const text = await readSecret(path, '--ca');
  if (!text.includes('-----BEGIN CERTIFICATE-----'))
    throw usageError(`--ca: ${path} is no PEM certificate`, 'Give the path of a PEM file.');
  return text;
}

/** Which server the other commands would ask, and why that one. */
export async function showContext(flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  const connection = await locate(global, io);
  const view = {
    server: connection.address.text,
    serverFrom: connection.addressFrom,
    tokenFrom: connection.tokenFrom ?? null,
    caFrom: connection.caFrom ?? null,
    configFile: configPath(io.env, io.home),
  };
  if (flags.output !== 'table') await printDocument(io, flags.output, view);
  else
    printLines(io, [
      `server:  ${view.server}   from ${view.serverFrom}`,
      `token:   ${view.tokenFrom === null ? 'none' : `from ${view.tokenFrom}`}`,
      `CA:      ${view.caFrom === null ? 'those that Node trusts' : `from ${view.caFrom}`}`,
      `config:  ${view.configFile}`,
    ]);
  return EXIT.ok;
}
