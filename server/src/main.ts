import { loadConfig } from './config/config.ts';
import { readFlags } from './config/flags.ts';
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

function usage(): string {
  const lines = describeConfig().map(({ flag, default: byDefault, description }) => {
    return `  ${flag}${byDefault === '' ? '' : ` (default: ${byDefault})`}\n      ${description}`;
  });
  return `openline server [--config FILE] [flags]\n\nThe management server. Each flag is also an environment variable (OPENLINE_SERVER_…) and a key of the file.\nLists are separated by commas, or their flag is repeated.\n\n${lines.join('\n')}\n`;
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
  // Node would open a debugger, through which every user of the machine could do what the server can.
  process.on('SIGUSR1', (signal) => log.warn({ signal }, 'this signal means nothing to a server'));
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
