import './lean.ts';

import { writeSync } from 'node:fs';
import { ERRORS, OpenlineError } from '@openline/proto/errors';
import { readFlags } from '@openline/proto/read-flags';
import { startAgent } from './agent.ts';
import { loadConfig } from './config/config.ts';
import { KEY_NAMES, KEYS } from './config/keys.ts';
import { usage } from './config/reference.ts';
import { READ_PACK, readPackForParent, readPackInChild } from './packs/read-pack.ts';
import { createLog, type Log } from './telemetry/log.ts';

/** What a stop may take, besides the grace of its tasks, before the process just goes: the journal knows what it owes. */
const STOP_TIMEOUT_MS = 15_000;

const FLAGS = KEY_NAMES.map((key) => {
  const { flag, multiple = false } = KEYS[key];
  return { flag, key, type: 'string' as const, multiple };
});

/** Whoever reads the log may go away, and the disk it is written to may be full: no reason to end tasks. The next line is tried again. */
function toStdout(line: string): void {
  try {
    writeSync(1, line);
  } catch {
    // There is nobody to tell.
  }
}

/** The process. Resolves when a signal has ended the agent; `process.exitCode` says how. @param argv without the program's name */
export async function main(argv: readonly string[]): Promise<void> {
  if (argv[0] === READ_PACK) return readPackForParent();
  let log = createLog('info', toStdout);
  try {
    const { help, file, flags } = readFlags(argv, FLAGS);
    if (help) {
      process.stdout.write(usage());
      return;
    }
    const config = await loadConfig({ flags, env: process.env, file });
    log = createLog(config.logLevel, toStdout);
    keepQuiet(log);
    await lifeOf(log, STOP_TIMEOUT_MS + config.tasks.killGraceMs, (signal) =>
      startAgent(config, { log, signal, readPack: readPackInChild(programOf(argv)) }),
    );
  } catch (error) {
    if (error instanceof OpenlineError) {
      process.stderr.write(`error [${error.code}] ${error.message}\n→ ${ERRORS[error.code].doNext}\n`);
    } else log.error({ error }, 'the agent could not start');
    process.exitCode = error instanceof OpenlineError && error.code === 'CONFIG_INVALID' ? 2 : 1;
  }
}

async function lifeOf(
  log: Log,
  stopWithinMs: number,
  start: (signal: AbortSignal) => ReturnType<typeof startAgent>,
): Promise<void> {
  const abort = new AbortController();
  const signalled = new Promise<string>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(name, () => {
        // A terminal that is closed says SIGHUP, and often twice: nobody is impatient.
        if (abort.signal.aborted && name !== 'SIGHUP') process.exit(130);
        abort.abort();
        resolve(name);
      });
    }
  });
  // Node would open a debugger, through which every user of the machine could do what the agent can.
  process.on('SIGUSR1', () => log.warn({}, 'SIGUSR1 means nothing to an agent'));
  // A state that nobody foresaw is left by a new start; the journal makes that safe.
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      log.error({ error }, `${event}: the agent ends`);
      process.exit(1);
    });
  }
  let agent: Awaited<ReturnType<typeof startAgent>>;
  try {
    agent = await start(abort.signal);
  } catch (error) {
    if (abort.signal.aborted) return;
    throw error;
  }
  const name = await signalled;
  log.info({ signal: name }, 'agent stops');
  setTimeout(() => {
    log.error({}, `the agent did not stop within ${stopWithinMs} ms`);
    process.exit(1);
  }, stopWithinMs).unref();
  await agent.stop(`the agent got ${name}`);
}

/** How this process was made an agent: `agent.mjs …`, or `openline.mjs agent …`. */
function programOf(argv: readonly string[]): [string, ...string[]] {
  const [, script = '', ...given] = process.argv;
  return [script, ...given.slice(0, given.length - argv.length)];
}

/** Node writes its warnings as text; here they are lines of the log like all else. */
function keepQuiet(log: Log): void {
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    // grpc-js names an address as TLS server name when a server is configured by its address. It is ignored.
    if ('code' in warning && warning.code === 'DEP0123') return;
    log.warn({ warning: warning.message }, 'Node warns');
  });
}

// The bundle of the agent alone starts here; the CLI calls `main` itself.
if (import.meta.main) {
  await main(process.argv.slice(2));
  process.exit();
}
