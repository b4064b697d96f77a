import { realpathSync } from 'node:fs';
import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import type { Config } from './config/config.ts';
import { lockDataDir } from './data-dir-lock.ts';
import { credentialOf, shown } from './enrollment/credential.ts';
import { enroll, hostPort } from './enrollment/enroll.ts';
import type { Identity } from './enrollment/identity.ts';
import { keepIdentity } from './enrollment/identity-keeper.ts';
import { createRenewal } from './enrollment/renewal.ts';
import { createTrust, trustReportOf } from './enrollment/trust.ts';
import { prepareEventsDirectory } from './events/agent-log/directory.ts';
import { createSources } from './events/create-sources.ts';
import { findInterpreters, gatherFacts, isInContainer, machineId } from './facts.ts';
import { makePrivateDirectory } from './files.ts';
import { placesOf, requireHost } from './host/require.ts';
import { viewOf } from './host/view.ts';
import { createLink, type Link } from './link/link.ts';
import { DEFAULT_LINK_POLICY, type LinkPolicy } from './link/link-machine.ts';
import { openStream } from './link/stream.ts';
import { createPackLibrary } from './packs/pack-library.ts';
import type { ReadPack } from './packs/read-pack.ts';
import { type Rules, startRules } from './rules/rules.ts';
import { createSessionHandler } from './session.ts';
import { createTarget } from './target.ts';
import { type Clock, systemClock } from './tasks/clock.ts';
import type { TaskEngine } from './tasks/engine.ts';
import { createTaskEngine } from './tasks/task-engine.ts';
import type { Log } from './telemetry/log.ts';
import { startTelemetry } from './telemetry/telemetry.ts';
import { startTidying } from './tidy.ts';
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
  const view = viewOf(config.hostAccess, config.hostRoot, isInContainer());
  requireHost(view);
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
    const telemetry = await startTelemetry({ log, clock }, config.metricsListen);
    undo.push(() => telemetry.stop());
    prepareEventsDirectory(config.events);
    const keeper = await keepIdentity(log, config, (credential, store) =>
      enroll({ store, clock, random, log, signal: stopping.signal }, { ...config, credential }),
    );

    const path = process.platform === 'win32' ? (process.env['PATH'] ?? '') : TASK_PATH;
    const interpreters = findInterpreters(path, view.access === 'full' ? view.root : '');
    const places = await placesOf(view, dataDir, keeper.current().agentId);
    // The engine speaks through the link, which asks the engine what to say: one of them is there first.
    const parts: { engine?: TaskEngine; rules?: Rules } = {};
    const packs = await createPackLibrary(
      {
        clock,
        random,
        log,
        trustedKeys: () => config.trustedPackKeys ?? keeper.current().trustedPackKeys,
        idle: () => parts.engine?.openRunIds().length === 0,
        ...(deps.readPack ? { readPack: deps.readPack } : {}),
      },
      { dataDir, allowDowngrade: config.allowPackDowngrade },
    );
    const facts = gatherFacts(interpreters, view);
    const target = createTarget({ name: keeper.current().agentName, labels: config.labels, facts });
    const trust = createTrust({
      keeper,
      log,
      report: (report) => link.trustReport(report),
      renewSoon: (withinMs) => renewal.soon(withinMs),
    });
    const handler = createSessionHandler(
      {
        link: () => link,
        engine: () => need(parts.engine),
        rules: () => need(parts.rules),
        trust,
        target,
        packs,
        log,
        clock,
        random,
      },
      { machineId: machineId(dataDir), labels: config.labels, facts },
    );
    const link = createLink(
      {
        clock,
        random,
        log,
        openStream,
        observe: telemetry.link,
        identity: keeper.current,
        enrollAgain: keeper.again,
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
      { uplink: link, packs, log, clock, target: target.current, observe: telemetry.engine },
      {
        dataDir,
        eventsDirectory: config.events.directory,
        agentName: keeper.current().agentName,
        interpreters,
        allow,
        maxRisk,
        concurrency,
        queueLimit,
        killGraceMs,
        outputLimitBytes: outputCapBytes,
        spoolLimitBytes,
        path,
        view,
        home: places.home,
        workRoot: join(places.work, 'work'),
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
        observe: telemetry.rules,
        sources: () => createSources(config.events, view, { clock, random }),
      },
      {
        ...config.monitoring,
        dataDir,
        agentName: keeper.current().agentName,
        labels: config.labels,
        facts,
        interpreters,
        path,
        view,
        home: places.home,
        workRoot: join(places.work, 'probes'),
        killGraceMs,
      },
    );
    parts.rules = rules;
    const renewal = createRenewal({
      clock,
      random,
      log,
      identity: keeper.current,
      renew: (csrDer) => {
        const credential = credentialOf(config);
        return credential?.kind === 'node' ? link.attest(csrDer, shown(credential).value) : link.renew(csrDer);
      },
      async keep(renewed) {
        await keeper.keep(renewed);
        link.trustReport(trustReportOf(keeper.current()));
      },
    });
    telemetry.made({ identity: keeper.current, link, engine, rules, packs });
    const tidying = startTidying({ clock, idle: () => engine.openRunIds().length === 0 });
    // Tasks end first, so that their last reports still go out over the link.
    undo.push(
      (reason) => link.stop(reason),
      () => rules.stop(),
      (reason) => engine.stop(reason),
      () => renewal.stop(),
      () => tidying.stop(),
    );

    const { agentName, agentId } = keeper.current();
    log.info({ version: VERSION, agent: agentName, agentId, dataDir }, 'agent starts');
    renewal.start();
    link.start();
    let stopped: Promise<void> | undefined;
    return {
      get identity() {
        return keeper.current();
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
