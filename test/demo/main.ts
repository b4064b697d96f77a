// `npm run demo`: a management server and three agents on this machine, real tasks through the real command line.
import { accessSync, constants, mkdirSync } from 'node:fs';
import { OpenlineError } from '@openline/proto/errors';
import { lockDataDir } from '../../agent/src/data-dir-lock.ts';
import { stayUp, whatNext } from './after.ts';
import { type Child, stopAll } from './children.ts';
import { choosePorts, type Server, serverCommand, startServer, stopOrphanedPostgres } from './cluster.ts';
import { DATA, shown } from './places.ts';
import { command, type Line, note, outcome, print, printLast, seconds, summary, title } from './screen.ts';
import { STEPS, type Stage, type Step } from './steps.ts';
import { forgetOtherVersion } from './version.ts';

const USAGE = `npm run demo               shows Openline at work, then stays up until Ctrl-C
npm run demo -- --once     ends after the last step; exit code 0 when every step did what it should`;

/** Ctrl-C may reach us twice, from the terminal and from npm: what comes within this is one. */
const SAME_SIGNAL_MS = 500;
const EXIT_CODES: Partial<Record<NodeJS.Signals, number>> = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 };

const startedMs = performance.now();
/** Ends in good order; the reason is the exit code. */
const stopping = new AbortController();
const atOnce = new AbortController();
let stage: Stage | undefined;
let serverChild: Child | undefined;
let staysUp = false;

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => {
  print();
  print(`error ${error instanceof Error ? error.message : String(error)}`);
  return 1;
});
// Whatever a step that was cut short still waits for.
process.exit();

async function main(args: readonly string[]): Promise<number> {
  const unknown = args.find((arg) => !['--once', '--help', '-h'].includes(arg));
  if (unknown !== undefined || args.some((arg) => arg !== '--once')) {
    print(unknown === undefined ? USAGE : `demo: there is no argument ${unknown}\n${USAGE}`);
    return unknown === undefined ? 0 : 2;
  }
  await takeFolder();
  stopOnSignals();
  const interrupted = new Promise<number>((resolve) => {
    stopping.signal.addEventListener('abort', () => resolve(Number(stopping.signal.reason)), { once: true });
  });
  try {
    return await Promise.race([show(args.includes('--once')), interrupted]);
  } finally {
    if (stopping.signal.aborted) printLast('\nStopping the agents, the server and PostgreSQL.');
    await stopAll(serverChild, atOnce.signal);
    await stopOrphanedPostgres();
  }
}

/** One demo at a time in this folder. @throws Error with what to do */
async function takeFolder(): Promise<void> {
  try {
    mkdirSync(DATA, { recursive: true });
    accessSync(DATA, constants.W_OK | constants.X_OK);
    await lockDataDir(DATA);
  } catch (error) {
    if (error instanceof OpenlineError && error.code === 'DATA_DIR_IN_USE') {
      throw new Error(
        'another demo runs in this folder. Use it from here (npx openline agents list), or end it with Ctrl-C first.',
      );
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`${shown(DATA)} cannot be used (${reason}). Remove it, or start the demo as its owner.`);
  }
}

function stopOnSignals(): void {
  let firstMs: number | undefined;
  const stop = (exitCode: number) => {
    if (firstMs === undefined) {
      firstMs = performance.now();
      // Ctrl-C is how a demo that stays up is meant to end.
      stopping.abort(staysUp ? (process.exitCode ?? 0) : exitCode);
    } else if (performance.now() - firstMs > SAME_SIGNAL_MS) atOnce.abort();
  };
  for (const [signal, exitCode] of Object.entries(EXIT_CODES)) process.on(signal, () => stop(exitCode));
  // Who reads what we write has gone (`| head`).
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => stop(141));
  // npm was killed: nobody is left who could press Ctrl-C.
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && stop(129), 1_000).unref();
}

/** @returns the exit code */
async function show(once: boolean): Promise<number> {
  print('Openline: a management server, PostgreSQL and three agents on this machine.');
  print(`What they write is in ${shown(DATA)}/, logs in ${shown(DATA)}/logs/. Ctrl-C ends them all.`);
  const lines: Line[] = [];
  const perform = async (step: Pick<Step, 'name' | 'why' | 'needed'>, work: () => Promise<void>) => {
    title(`${lines.length + 1}/${STEPS.length + 1}  ${step.name}`, step.why);
    const sinceMs = performance.now();
    let failure: string | undefined;
    try {
      await work();
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error);
    }
    const ms = performance.now() - sinceMs;
    lines.push({ name: step.name, failure, ms });
    outcome(failure, ms);
    return failure === undefined || step.needed !== true;
  };

  const began = await perform(
    {
      name: 'The server starts',
      needed: true,
      why: 'It brings its own PostgreSQL and makes its certificate authority and an admin token: there is nothing to set up.',
    },
    async () => {
      stage = { server: await beginServer(), agents: new Map() };
    },
  );
  if (began && stage !== undefined) {
    for (const step of STEPS) {
      const { perform: work } = step;
      const current = stage;
      if (!(await perform(step, () => work(current)))) break;
    }
  }
  summary(lines);
  const failed = lines.filter(({ failure }) => failure !== undefined).length;
  const missed = STEPS.length + 1 - lines.length;
  print();
  print(
    failed + missed === 0
      ? `All ${lines.length} steps did what they should, in ${seconds(performance.now() - startedMs)}.`
      : `${failed} of ${STEPS.length + 1} steps failed${missed === 0 ? '' : `, ${missed} were not tried`}. Logs: ${shown(DATA)}/logs/`,
  );
  const exitCode = failed + missed === 0 ? 0 : 1;
  if (once || stage === undefined || missed > 0) return exitCode;
  process.exitCode = exitCode;
  whatNext(stage.server);
  staysUp = true;
  return await stayUp(stage, isServer);
}

function isServer(child: Child): void {
  serverChild = child;
}

async function beginServer(): Promise<Server> {
  if (await forgetOtherVersion())
    note('The data of an earlier version of this folder are removed: this demo begins anew.');
  const ports = await choosePorts();
  for (const { instead } of ports)
    if (instead !== undefined) note(`Port ${instead} is taken; the server picks another.`);
  command(`openline ${serverCommand(ports).join(' ')} &`);
  const server = await startServer(ports, isServer);
  note(
    `Agents connect to port ${server.agentPort} (mutual TLS), operators to ${server.operatorPort} (TLS and a token).`,
  );
  note(`Metrics for Prometheus: http://127.0.0.1:${server.metricsPort}/metrics`);
  return server;
}
