import { parseArgs } from 'node:util';
import { OpenlineError } from '@openline/proto/errors';
import { loadConfig } from './config/config.ts';
import { flagOf, KEY_NAMES } from './config/keys.ts';
import { describeConfig } from './config/reference.ts';
import { type RunningServer, startServer } from './server.ts';
import { startFailure } from './start-failure.ts';
import { createLogger } from './telemetry/logger.ts';

/** What a stop may take before the process just goes. Everything that matters is in the database by then. */
const STOP_TIMEOUT_MS = 30_000;

/** The process. @param argv without the program's name */
export async function main(argv: readonly string[]): Promise<void> {
  let log = createLogger('info');
  try {
    const { help, file, flags } = readFlags(argv);
    if (help) {
      process.stdout.write(usage());
      return;
    }
    const config = loadConfig({ flags, env: process.env, file });
    log = createLogger(config.logLevel);
    await liveUntilSignal(log, () => startServer(config, log));
  } catch (error) {
    const told = startFailure(error);
    if (told === undefined) log.error({ err: error }, 'the server could not start');
    else process.stderr.write(told.text);
    process.exitCode = told?.exitCode ?? 1;
  }
}

function readFlags(argv: readonly string[]): {
  help: boolean;
  file: string | undefined;
  flags: Record<string, unknown>;
} {
  const names = new Map(KEY_NAMES.map((key) => [flagOf(key).replace(/^--/, ''), key]));
  const options = Object.fromEntries(
    [...names].map(([flag, key]) => [
      flag,
      { type: key === 'resetAdminToken' ? ('boolean' as const) : ('string' as const) },
    ]),
  );
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { ...options, config: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    });
    const { config: file, help, ...given } = values;
    const flags = Object.fromEntries(Object.entries(given).map(([flag, value]) => [names.get(flag) ?? flag, value]));
    return { help: help === true, file: typeof file === 'string' ? file : undefined, flags };
  } catch (error) {
    // Node's message names the option, never a value.
    throw new OpenlineError('CONFIG_INVALID', error instanceof Error ? error.message : String(error));
  }
}

function usage(): string {
  const lines = describeConfig().map(({ flag, default: byDefault, description }) => {
    return `  ${flag}${byDefault === '' ? '' : ` (default: ${byDefault})`}\n      ${description}`;
  });
  return `openline server [--config FILE] [flags]\n\nThe management server. Each flag is also an environment variable (OPENLINE_SERVER_…) and a key of the file.\n\n${lines.join('\n')}\n`;
}

/**
 * Does not resolve when the server ran: the process ends within, so who awaits `main` (the CLI does) must not end it before.
 * A signal during the start is obeyed after it: PostgreSQL and what initdb makes would be left behind otherwise.
 */
async function liveUntilSignal(
  log: ReturnType<typeof createLogger>,
  start: () => Promise<RunningServer>,
): Promise<void> {
  const stopAsked = Promise.withResolvers<void>();
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals) => {
    if (stopping) {
      log.warn({ signal }, 'stopping at once');
      process.exit(1);
    }
    stopping = true;
    log.info({ signal }, 'stopping');
    setTimeout(() => {
      log.error('the server did not stop in time');
      process.exit(1);
    }, STOP_TIMEOUT_MS).unref();
    stopAsked.resolve();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  const server = await start();
  await stopAsked.promise;
  try {
    await server.stop();
    log.info('stopped');
    process.exit(0);
  } catch (error) {
    log.error({ err: error }, 'the server did not stop cleanly');
    process.exit(1);
  }
}
