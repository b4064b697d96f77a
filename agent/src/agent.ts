import { readFileSync, realpathSync } from 'node:fs';
import { OpenlineError } from '@openline/proto/errors';
import type { Config } from './config/config.ts';
import { lockDataDir } from './data-dir-lock.ts';
import { enroll, hashJoinToken, hostPort } from './enrollment/enroll.ts';
import type { Identity } from './enrollment/identity.ts';
import { createIdentityStore } from './enrollment/identity-store.ts';
import { createRenewal } from './enrollment/renewal.ts';
import { prepareEventsDirectory } from './events/agent-log/directory.ts';
import { createSources } from './events/create-sources.ts';
import { findInterpreters, gatherFacts, machineId } from './facts.ts';
import { makePrivateDirectory } from './files.ts';
import { createLink, type Link } from './link/link.ts';
import { DEFAULT_LINK_POLICY, type LinkPolicy } from './link/link-machine.ts';
import { openStream } from './link/stream.ts';
import { createPackLibrary } from './packs/pack-library.ts';
import type { ReadPack } from './packs/read-pack.ts';
import { type Rules, startRules } from './rules/rules.ts';
import { createSessionHandler } from './session.ts';
import { type Clock, systemClock } from './tasks/clock.ts';
import type { TaskEngine } from './tasks/engine.ts';
import { createTaskEngine } from './tasks/task-engine.ts';
import type { Log } from './telemetry/log.ts';
import { VERSION } from './version.ts';

export interface AgentDeps {
  log: Log;
  /** Ends the waiting for a first server; a started agent is stopped by `stop`. */
  signal?: AbortSignal;
  /** Default: the system's. */
  clock?: Clock;
  /** [0, 1). Default: Math.random */
  random?: () => number;
  /** Default: in this process, where the parser then stays in memory. */
  readPack?: ReadPack;
  /** Default: DEFAULT_LINK_POLICY */
  linkPolicy?: Partial<LinkPolicy>;
}

export interface RunningAgent {
  /** As of now: it may enrol again. */
  readonly identity: Identity;
  readonly state: Link['state'];
  /** Says Goodbye, stops the running tasks and keeps their results for the next start. A second call waits for the first. */
  stop(reason: string): Promise<void>;
}

/** For tasks and for the interpreters that they name, so that a person's own PATH changes nothing. */
const TASK_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Locks the data directory, enrols when there is no identity (and then waits for a server), takes up what the journal owes, and dials.
 * @throws OpenlineError DATA_DIR_IN_USE, DATA_DIR_UNUSABLE, CONFIG_INVALID, and those of `enroll`
 */
export async function startAgent(config: Config, deps: AgentDeps): Promise<RunningAgent> {
  const { log, clock = systemClock, random = Math.random } = deps;
  await makePrivateDirectory(config.dataDir);
  const dataDir = realpathSync(config.dataDir);
  const unlock = await lockDataDir(dataDir);
  /** Undone from the last to the first, also when the start fails halfway. */
  const undo: ((reason: string) => unknown)[] = [unlock];
  const stopping = new AbortController();
  deps.signal?.addEventListener('abort', () => stopping.abort(), { once: true });
  if (deps.signal?.aborted) stopping.abort();
  const unwind = async (reason: string) => {
    stopping.abort();
    for (const step of undo.splice(0).reverse()) await step(reason);
  };

  try {
    prepareEventsDirectory(config.events);
    const store = createIdentityStore(dataDir);
    const enrollWith = (joinToken: string) =>
      enroll({ store, clock, random, log, signal: stopping.signal }, { ...config, joinToken });

    let identity = (await store.load()) ?? (await enrollWith(joinTokenOf(config) ?? needToken(dataDir)));

    let enrolling: Promise<boolean> | undefined;
    /** A refused identity is not the end where a token waits that was not used yet. */
    const enrollAgain = (): Promise<boolean> => {
      enrolling ??= (async () => {
        const joinToken = joinTokenOf(config);
        if (!joinToken || hashJoinToken(joinToken) === identity.joinTokenHash) return false;
        log.info({}, 'this identity is not accepted any more: using the join token to get a new one');
        identity = await enrollWith(joinToken);
        return true;
      })().finally(() => {
        enrolling = undefined;
      });
      return enrolling;
    };

    const path = process.platform === 'win32' ? (process.env['PATH'] ?? '') : TASK_PATH;
    const interpreters = findInterpreters(path);
    // The engine speaks through the link, which asks the engine what to say: one of them is there first.
    const parts: { engine?: TaskEngine; rules?: Rules } = {};
    const packs = await createPackLibrary(
      {
        clock,
        random,
        log,
        trustedKeys: () => config.trustedPackKeys ?? identity.trustedPackKeys,
        idle: () => parts.engine?.openRunIds().length === 0,
        ...(deps.readPack ? { readPack: deps.readPack } : {}),
      },
      { dataDir, allowDowngrade: config.allowPackDowngrade },
    );
    const facts = gatherFacts(interpreters);
    const handler = createSessionHandler(
      { link: () => link, engine: () => need(parts.engine), rules: () => need(parts.rules), packs, log },
      { machineId: machineId(dataDir), labels: config.labels, facts },
    );
    const link = createLink(
      {
        clock,
        random,
        log,
        openStream,
        identity: () => identity,
        enrollAgain,
        handler: {
          ...handler,
          opened(welcome) {
            handler.opened(welcome);
            renewal.connected();
          },
        },
      },
      {
        servers: config.servers.map(({ host, port }) => hostPort(host, port)),
        policy: { ...DEFAULT_LINK_POLICY, ...deps.linkPolicy, servers: config.servers.length },
      },
    );
    const { concurrency, queueLimit, allow, maxRisk, killGraceMs, outputCapBytes, spoolLimitBytes } = config.tasks;
    const engine = await createTaskEngine(
      { uplink: link, packs, log, clock },
      {
        dataDir,
        eventsDirectory: config.events.directory,
        agentName: identity.agentName,
        interpreters,
        allow,
        maxRisk,
        concurrency,
        queueLimit,
        killGraceMs,
        outputLimitBytes: outputCapBytes,
        spoolLimitBytes,
        path,
      },
    );
    parts.engine = engine;
    const rules = await startRules(
      {
        clock,
        random,
        log,
        packs,
        send: link.events,
        sources: () => createSources(config.events, { clock, random }),
      },
      {
        ...config.monitoring,
        dataDir,
        agentName: identity.agentName,
        labels: config.labels,
        facts,
        interpreters,
        path,
        killGraceMs,
      },
    );
    parts.rules = rules;
    const renewal = createRenewal({
      clock,
      random,
      log,
      store,
      identity: () => identity,
      renew: link.renew,
      renewed: (renewed) => {
        identity = renewed;
      },
    });
    // Tasks end first, so that their last reports still go out over the link.
    undo.push(
      (reason) => link.stop(reason),
      () => rules.stop(),
      (reason) => engine.stop(reason),
      () => renewal.stop(),
    );

    log.info({ version: VERSION, agent: identity.agentName, agentId: identity.agentId, dataDir }, 'agent starts');
    renewal.start();
    link.start();
    let stopped: Promise<void> | undefined;
    return {
      get identity() {
        return identity;
      },
      get state() {
        return link.state;
      },
      stop(reason) {
        stopped ??= unwind(reason);
        return stopped;
      },
    };
  } catch (error) {
    await unwind('the start failed');
    throw error;
  }
}

function need<T>(part: T | undefined): T {
  if (!part) throw new OpenlineError('INTERNAL', 'the link was used before what it carries for was made');
  return part;
}

/** Read when it is needed, as a file may be put there later. */
function joinTokenOf({ joinToken, joinTokenFile }: Config): string | undefined {
  if (joinToken !== undefined) return joinToken;
  if (joinTokenFile === undefined) return undefined;
  try {
    return readFileSync(joinTokenFile, 'utf8').trim() || undefined;
  } catch (cause) {
    const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable';
    throw new OpenlineError('CONFIG_INVALID', `joinTokenFile: cannot be read (${reason})`, { cause });
  }
}

function needToken(dataDir: string): never {
  throw new OpenlineError(
    'CONFIG_INVALID',
    `joinToken: is needed, as there is no identity in ${dataDir}. Make one with \`openline tokens create --join\`, ` +
      'and start the agent with --join-token and --ca-hash as it prints them.',
  );
}
