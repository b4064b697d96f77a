import { X509Certificate } from 'node:crypto';
import { formatHostPort, type HostPort } from '@openline/proto/host-port';
import { startTelemetryHttp } from '@openline/proto/telemetry-http';
import type { Identity } from '../enrollment/identity.ts';
import { VERSION } from '../version.ts';
import { watchEventLoop } from './event-loop.ts';
import { type AgentMetrics, createAgentMetrics, LINK_STATES } from './metrics.ts';
import type { Telemetry, TelemetryDeps, TelemetryParts } from './telemetry.ts';

/** `/metrics`, `/healthz`, and `/readyz`: the link is ready. @throws OpenlineError PORT_IN_USE, CONFIG_INVALID */
export async function serveTelemetry({ log, clock }: TelemetryDeps, listen: HostPort): Promise<Telemetry> {
  const metrics = createAgentMetrics();
  let parts: TelemetryParts | undefined;
  const read = createReader(metrics);
  metrics.beforeScrape(() => read(parts));
  const http = await startTelemetryHttp({
    listen,
    metrics,
    health: { notReady: async () => notReady(parts) },
  });
  log.info({ address: formatHostPort(http.address) }, 'shows metrics');
  const stopWatching = watchEventLoop(metrics.eventLoopLag, clock);
  return {
    link: {
      opened: () => metrics.linkOpened.inc(),
      failed: (reason) => metrics.linkFailures.with({ reason }).inc(),
      heartbeat: (roundTripMs) => metrics.heartbeat.observe(roundTripMs / 1000),
    },
    engine: {
      ended: (state) => metrics.tasks.with({ state }).inc(),
      synced: (tookMs) => metrics.journalSync.observe(tookMs / 1000),
    },
    rules: {
      read: (events) => metrics.eventsRead.inc(events),
      concluded: (kind) => metrics.outcomes.with({ kind }).inc(),
      missed(events) {
        metrics.eventGaps.inc();
        metrics.eventsMissed.inc(events);
      },
      holds(rules, monitors) {
        metrics.watches.with({ kind: 'rule' }).set(rules);
        metrics.watches.with({ kind: 'monitor' }).set(monitors);
      },
    },
    made(agent) {
      parts = agent;
    },
    async stop() {
      stopWatching();
      await http.close();
    },
  };
}

function notReady(parts: TelemetryParts | undefined): string[] {
  if (parts === undefined) return ['no identity: waits until a server enrols this agent'];
  const { kind } = parts.link.state;
  return kind === 'ready' ? [] : [`link: ${kind}, not ready`];
}

/** Sets what is only read off something. */
function createReader(metrics: AgentMetrics): (parts: TelemetryParts | undefined) => void {
  const startedUnixS = Date.now() / 1000 - process.uptime();
  let cpuSeconds = 0;
  let certificate: { readonly of: Identity; readonly validToUnixMs: number } | undefined;
  metrics.buildInfo.with({ version: VERSION, node: process.version }).set(1);
  for (const kind of ['rule', 'monitor']) metrics.watches.with({ kind }).set(0);

  function certificateExpirySeconds(identity: Identity): number {
    if (certificate?.of !== identity) {
      const validToUnixMs = Date.parse(new X509Certificate(identity.certificatePem).validTo);
      certificate = { of: identity, validToUnixMs };
    }
    return (certificate.validToUnixMs - Date.now()) / 1000;
  }

  return (parts) => {
    const { user, system } = process.cpuUsage();
    const usedSeconds = (user + system) / 1e6;
    metrics.cpu.inc(usedSeconds - cpuSeconds);
    cpuSeconds = usedSeconds;
    metrics.residentMemory.set(process.memoryUsage.rss());
    metrics.startTime.set(startedUnixS);
    const current = parts?.link.state.kind ?? 'idle';
    for (const state of LINK_STATES) metrics.linkState.with({ state }).set(state === current ? 1 : 0);
    if (parts === undefined) return;
    const tasks = parts.engine.health();
    const rules = parts.rules.health();
    metrics.tasksRunning.set(tasks.running);
    metrics.tasksQueued.set(tasks.queued);
    metrics.resultsOwed.set(tasks.spooledResults);
    metrics.outputOwed.set(Number(tasks.spooledOutputBytes));
    metrics.selfCheckAge.with({ part: 'executor' }).set(tasks.executorCheckedMsAgo / 1000);
    metrics.selfCheckAge.with({ part: 'rules' }).set(rules.rulesCheckedMsAgo / 1000);
    metrics.faulty.set(tasks.fault === '' && rules.fault === '' ? 0 : 1);
    metrics.eventSpoolRecords.set(Number(rules.spooledEventRecords));
    metrics.eventSpoolBytes.set(parts.rules.spooledBytes());
    metrics.packsHeld.set(parts.packs.held().length);
    metrics.certificateExpiry.set(certificateExpirySeconds(parts.identity()));
  };
}
