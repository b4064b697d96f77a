import { join } from 'node:path';
import { startTelemetryHttp } from '@openline/proto/telemetry-http';
import { createAccessService } from './access/access-service.ts';
import { ensureAdminToken, writeClientFile } from './access/first-token.ts';
import { createWorkloads } from './access/workloads.ts';
import { createAgentService } from './agents/agent-service.ts';
import { startOperatorApi } from './api/operator-api.ts';
import { createAuditLog } from './audit/audit-log.ts';
import { keepAuthority, warnIfLost } from './authority-upkeep.ts';
import { createCensus } from './census.ts';
import { systemClock } from './clock.ts';
import { closeAll } from './close-all.ts';
import { type ClusterDeps, createCluster } from './cluster.ts';
import type { Config } from './config/config.ts';
import { openDatabase } from './db/database.ts';
import { newId } from './db/ids.ts';
import { createDeclaredService } from './declared/declared-service.ts';
import { createDeclaredRegistry } from './declared/registry.ts';
import { createAuthorityService } from './enrollment/authority/authority-service.ts';
import { createGivenAuthority } from './enrollment/authority/given.ts';
import { createHeldStore } from './enrollment/authority/held-store.ts';
import { createTrustDesk } from './enrollment/authority/trust-desk.ts';
import { CA_FILE, openCertificateAuthority } from './enrollment/certificate-authority.ts';
import { createEnrollmentService } from './enrollment/enrollment-service.ts';
import { ensurePackKey, openTrustedKeys, TRUSTED_KEYS_DIR } from './enrollment/trusted-keys.ts';
import { every } from './every.ts';
import { createHealthModel } from './health-model.ts';
import { openClusterApi } from './kubernetes/cluster-api.ts';
import { startManifests } from './manifests/manifests.ts';
import { createNotifications } from './notifications/notifications.ts';
import { createPackService } from './packs/create-pack-service.ts';
import { readPackHolders } from './packs/pack-holders.ts';
import { probePorts } from './probe-ports.ts';
import { createRunService } from './runs/create-run-service.ts';
import { createDispatchDesk, type DispatchDesk } from './runs/desk.ts';
import { createDeskObserver } from './runs/desk-observer.ts';
import { createRunHub } from './runs/hub.ts';
import { noteRefusedRuns } from './runs/refused-runs.ts';
import { createRunStore } from './runs/run-store.ts';
import { startSweeper } from './runs/sweeper.ts';
import { encode } from './sessions/frames.ts';
import { startLinkServer } from './sessions/grpc/link-server.ts';
import { createSessionObserver } from './sessions/observer.ts';
import { createSessionStore } from './sessions/session-store.ts';
import { createSessions, type Sessions } from './sessions/sessions.ts';
import { createLinkTracer } from './sessions/tracer.ts';
import { openState } from './state/open-state.ts';
import { STATE_FILES } from './state/state.ts';
import { watchEventLoop } from './telemetry/event-loop.ts';
import type { Logger } from './telemetry/logger.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { VERSION } from './version.ts';
import { createWatching } from './watching.ts';

export interface RunningServer {
  readonly agentPort: number;
  readonly operatorPort: number;
  readonly metricsPort: number;
  /** Drains, answers what is under way, stops. */
  stop(): Promise<void>;
}

const SWEEP_INTERVAL_MS = 1_000;
const REDELIVER_AFTER_MS = 10_000;
const SENT_GRACE_MS = 30_000;
const OPERATOR_GRACE_MS = 1_000;
const FLUSH_TIMEOUT_MS = 5_000;
const NOTIFICATION_GRACE_MS = 10_000;
const CENSUS_MS = 15_000;
const CLUSTER_TIMEOUT_MS = 5_000;

/** Wires the domains together; the only place that names concrete classes. */
export async function startServer(config: Config, log: Logger): Promise<RunningServer> {
  const clock = systemClock;
  const startedAt = clock.now();
  const metrics = createMetrics();
  metrics.addProcessMetrics();
  metrics.buildInfo.with({ version: VERSION, node: process.version }).set(1);

  const closers: (() => Promise<void> | void)[] = [watchEventLoop(metrics)];
  const stop = () => closeAll(closers.splice(0));
  try {
    const { agentListen, operatorListen, metricsListen } = config;
    await probePorts({ agentListen, operatorListen, metricsListen });
    const database = await openDatabase(config, { log, metrics });
    closers.push(() => database.close());
    const { kysely: db, pool } = database;

    const audit = createAuditLog({ db });
    // Each domain registers its kinds before the service loads what is stored.
    const declaredKinds = createDeclaredRegistry();
    const clusterApi = openClusterApi(process.env, { timeoutMs: CLUSTER_TIMEOUT_MS });
    const workloads = clusterApi && createWorkloads(clusterApi, config);
    if (workloads === undefined && config.kubernetesOperators.length > 0)
      log.warn({}, 'kubernetesOperators: this server does not run in a cluster, or has no service account there');
    const access = createAccessService({ db, audit, clock, log, workloads });
    const state = await openState({ api: clusterApi, clock }, config);
    const given =
      config.caDirectory === undefined
        ? undefined
        : createGivenAuthority(clock, { directory: config.caDirectory, names: config.advertise });
    const ca = await openCertificateAuthority(
      { state, given: await given?.first(), now: clock.now },
      {
        ...config,
        overlapMs: config.caOverlapMs,
        longestLifeMs: Math.max(config.agentCertificateTtlMs, config.nodeCertificateTtlMs),
      },
    );
    const heldStore = createHeldStore(db);
    await warnIfLost({ ca, heldStore, clock, log });
    const trust = createTrustDesk({
      ca,
      store: heldStore,
      sleep: clock.sleep,
      onFailure: (error, pending) =>
        log.error({ err: error, pending }, 'what agents say that they trust cannot be stored; it is tried again'),
    });
    closers.push(() => trust.close());
    const revoke = (agentId: string, why: string) => agents.revoke({ name: 'kubernetes' }, agentId, why);
    const labelled: ClusterDeps['labelled'] = (agentId, labels) => {
      sessions.pinnedChanged(agentId, labels);
      health.labelsChanged();
    };
    const cluster = createCluster({ db, ca, audit, clock, log, api: clusterApi, revoke, labelled }, config);
    const enrollment = createEnrollmentService({ db, ca, audit, clock, metrics, enrollNode: cluster.enrollNode });
    await ensurePackKey(state, config.dataDir);
    const keyDirectories = [
      join(config.dataDir, TRUSTED_KEYS_DIR),
      ...(config.trustedPackKeys ? [config.trustedPackKeys] : []),
    ];
    const trusted = openTrustedKeys(keyDirectories, { log });
    closers.push(() => trusted.close());
    const packs = await createPackService({ db, audit, trustedKeys: () => trusted.keys(), log });
    await ensureAdminToken({ db, audit, state }, { reset: config.resetAdminToken });

    const healthModel = createHealthModel(
      {
        pool,
        db,
        registry: declaredKinds,
        packs,
        audit,
        clock,
        log,
        metrics,
        ping: () => database.ping(),
        cluster: clusterApi,
      },
      config,
    );
    const hub = createRunHub();
    const { store: runStore, fault: refusedRuns } = noteRefusedRuns(createRunStore(pool), clock);
    const desk: DispatchDesk = createDispatchDesk({
      store: runStore,
      hub,
      clock,
      resultsDurable: (acks) => sessions.resultsDurable(acks),
      outputDurable: (acks, bytes) => sessions.outputDurable(acks, bytes),
      onFault: (what, error, pending) => log.error({ err: error, pending }, `${what} failed; it is tried again`),
      ended: (runId, agentId) => sessions.ended(runId, agentId),
      ...createDeskObserver(metrics),
    });
    const watching = createWatching({
      pool,
      db,
      audit,
      clock,
      log,
      metrics,
      packs,
      maintenanceOf: healthModel.maintenanceOf,
      eventsDurable: (agentId, spoolId, seq) => sessions.eventsDurable(agentId, spoolId, seq),
    });
    const loseUnknown = async (agentIds: readonly string[], now: Date) => {
      desk.changedInStore(await runStore.loseUnknown(agentIds, now));
    };
    const sessions: Sessions = createSessions(
      {
        store: createSessionStore(pool, loseUnknown),
        desk,
        events: watching.events,
        policies: healthModel.policies,
        watcher: healthModel.watcher,
        trust,
        owed: runStore,
        packsWanted() {
          const wanted = packs.wanted().map(({ digest, pack }) => ({ digest, name: pack.name, version: pack.version }));
          return encode({ kind: { $case: 'packsWanted', value: { packs: wanted } } });
        },
        clock,
        random: Math.random,
        log,
        observe: createSessionObserver(metrics),
      },
      config,
    );
    packs.onWantedChanged(() => sessions.packsChanged());
    const agents = createAgentService({
      db,
      audit,
      isConnected: (agentId) => sessions.isConnected(agentId),
      async onRevoked(agentId, reason) {
        sessions.close(agentId, 'AGENT_REVOKED', `the agent was revoked: ${reason}`);
        desk.changedInStore(await runStore.endForAgent(agentId, reason, clock.now()));
        health.agentGone(agentId);
        await watching.agentGone(agentId, reason);
      },
    });
    const tracer = createLinkTracer(sessions);
    const runs = createRunService(
      {
        store: runStore,
        desk,
        hub,
        lines: sessions,
        agents,
        packs,
        audit,
        clock,
        newId,
        maintenanceOf: healthModel.maintenanceOf,
        observeSubmit(_targets, seconds) {
          metrics.runsSubmitted.inc();
          metrics.dispatchStage.with({ stage: 'submit_sent' }).observe(seconds);
        },
      },
      config,
    );

    const notifications = createNotifications(
      {
        pool,
        registry: declaredKinds,
        audit,
        clock,
        random: Math.random,
        newId,
        maintenanceOf: healthModel.maintenanceOf,
        log,
        metrics,
        // Secrets are looked up when they are used, and held nowhere.
        env: process.env,
        userAgent: `openline/${VERSION}`,
      },
      config,
    );
    watching.alerts.onChanges(notifications.hook);
    const declared = await createDeclaredService({ pool, registry: declaredKinds, audit, clock, log });
    closers.push(() => declared.stop());
    await notifications.start();
    closers.push(() => notifications.stop(NOTIFICATION_GRACE_MS));

    const { manifests: directories } = config;
    if (directories.length > 0) {
      const packKeyFile = join(config.dataDir, STATE_FILES.packKey);
      const manifests = await startManifests({ packs, declared, clock, log }, { directories, packKeyFile });
      closers.push(() => manifests.stop());
    }

    const health = await healthModel.start({ desk: watching.alerts, agents, sessions });
    closers.push(() => health.stop());

    // Only now is anybody let in: what a previous process left is known.
    await createSessionStore(pool, loseUnknown).allOffline();
    // Not for ever: what cannot be committed now is still in the agents' spools.
    const flushed = () => Promise.all([desk.idle(), watching.events.idle()]).then(() => {});
    closers.push(() => Promise.race([flushed(), clock.sleep(FLUSH_TIMEOUT_MS)]));
    const answers = watching.startAnswers(runs, hub);
    closers.push(() => answers.stop());
    const groomer = watching.startGroomer(config);
    closers.push(() => groomer.stop());
    const sweeper = startSweeper(
      {
        store: runStore,
        desk,
        clock,
        lines: sessions,
        redeliver: (owed) => sessions.deliver(owed),
        onFailure: (error) => log.error({ err: error }, 'the sweep failed; it is made again'),
        onClockJump: (byMs) => log.warn({ byMs }, 'the wall clock was moved; open deadlines move with it'),
      },
      {
        sweepIntervalMs: SWEEP_INTERVAL_MS,
        redeliverAfterMs: REDELIVER_AFTER_MS,
        sentGraceMs: SENT_GRACE_MS,
        lostAfterMs: config.lostAfterMs,
        historyMs: config.historyDays * 24 * 3600_000,
      },
    );
    closers.push(() => sweeper.stop());
    async function notReady(): Promise<string[]> {
      const unreachable = await database.ping().then(
        () => undefined,
        (error: Error) => error.message,
      );
      const problems = [unreachable, desk.fault(), watching.events.fault(), refusedRuns()];
      const found = problems.filter((problem) => problem !== undefined);
      metrics.ready.set(found.length === 0 ? 1 : 0);
      return found;
    }
    const counts = createCensus({ db, packs, metrics });
    const takeCensus = async () => {
      // When the database does not answer, the gauges keep what they said last; openline_database_up tells why.
      await Promise.allSettled([notReady(), counts(), watching.census(), health.census(), agents.endGone()]);
    };
    await takeCensus();
    const census = every(CENSUS_MS, takeCensus, () => {});
    closers.push(() => census.stop());
    sessions.start();
    cluster.start();
    closers.push(() => cluster.stop());

    const link = await startLinkServer(
      {
        enrollment,
        packs,
        attach: (line) => sessions.attach(line),
        isConnected: (agentId) => sessions.isConnected(agentId),
        log,
        trustDomain: ca.trustDomain,
        maxAgents: config.maxAgents,
        caPem: () => ca.caPem,
        trustedPackKeys: () => [...trusted.texts()],
        onHandshake: (outcome) => metrics.handshakes.with({ outcome }).inc(),
        onRefused: (reason) => metrics.helloRejected.with({ reason }).inc(),
      },
      config.agentListen,
      ca.material,
    );
    closers.push(() => link.stop());
    const operators = await startOperatorApi(
      {
        runs,
        agents,
        tracer,
        packs,
        readPackHolders: () => readPackHolders(db),
        declared,
        notifications: notifications.service,
        health,
        maintenance: health.maintenance,
        access,
        authority: createAuthorityService({ ca, store: heldStore, audit, clock }, config),
        audit,
        alerts: watching.alertService,
        eventReader: watching.eventReader,
        facts: () => ({
          version: VERSION,
          startedAt,
          agentPort: link.port,
          agentAddress: config.agentAddress,
          caHash: ca.caHash,
        }),
        clock,
        log,
        observe(method, code, seconds) {
          metrics.operatorRequests.with({ method, code }).inc();
          if (seconds !== undefined) metrics.operatorRequestSeconds.with({ method }).observe(seconds);
        },
      },
      { listen: config.operatorListen, tls: ca.material },
    );
    closers.push(() => operators.close(OPERATOR_GRACE_MS));
    closers.push(async () => {
      // With an embedded database there is no other replica that agents could go to.
      if (config.databaseUrl !== undefined && sessions.count() > 0) {
        sessions.drain(config.drainMs);
        for (let waitedMs = 0; sessions.count() > 0 && waitedMs < config.drainMs; waitedMs += 100)
          await clock.sleep(100);
      }
      await sessions.stop();
    });
    const authority = keepAuthority({ ca, given, heldStore, clock, log, metrics }, () => {
      link.setMaterial(ca.material);
      operators.updateTls(ca.material);
      sessions.trustChanged();
    });
    closers.push(() => authority.stop());

    const telemetry = await startTelemetryHttp({
      listen: config.metricsListen,
      metrics,
      health: { notReady },
    });
    closers.push(() => telemetry.close());
    writeClientFile(config.dataDir, `localhost:${operators.port}`, CA_FILE);
    log.info(
      {
        agentPort: link.port,
        operatorPort: operators.port,
        metricsPort: telemetry.address.port,
        dataDir: config.dataDir,
        caHash: ca.caHash,
        adminToken: join(config.dataDir, STATE_FILES.adminToken),
        ms: clock.now().getTime() - startedAt.getTime(),
      },
      'ready',
    );
    return { agentPort: link.port, operatorPort: operators.port, metricsPort: telemetry.address.port, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
