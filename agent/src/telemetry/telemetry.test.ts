import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { renderMetricsReference } from '@openline/proto/metrics-reference';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Identity } from '../enrollment/identity.ts';
import type { LinkState } from '../link/link-machine.ts';
import { systemClock } from '../tasks/clock.ts';
import { testAuthority } from '../testing/certificates.ts';
import { createLog, silentLog } from './log.ts';
import { describeAgentMetrics } from './metrics.ts';
import { startTelemetry, type TelemetryParts } from './telemetry.ts';

async function started() {
  let address = '';
  const log = createLog('info', (line) => {
    address = JSON.parse(line).address;
  });
  const telemetry = await startTelemetry({ log, clock: systemClock }, { host: '127.0.0.1', port: 0 });
  onTestFinished(() => telemetry.stop());
  const get = async (path: string) => {
    const response = await fetch(`http://${address}${path}`);
    return { status: response.status, body: await response.text() };
  };
  return { telemetry, get };
}

async function agentWith(link: LinkState): Promise<TelemetryParts> {
  const { certificatePem } = await (await testAuthority()).serverIdentity();
  const identity: Identity = {
    agentId: 'agent-1',
    agentName: 'web-1',
    keyPem: '',
    certificatePem,
    caPem: '',
    trustedPackKeys: [],
    joinTokenHash: '',
  };
  return {
    identity: () => identity,
    link: { state: link },
    engine: {
      health: () => ({
        running: 2,
        queued: 1,
        capacity: 8,
        spooledResults: 3,
        spooledOutputBytes: 4096n,
        executorCheckedMsAgo: 1_500,
        fault: 'journal: no space left on device',
      }),
    },
    rules: {
      health: () => ({ rulesCheckedMsAgo: 250, spooledEventRecords: 7n, fault: '' }),
      spooledBytes: () => 512,
    },
    packs: { held: () => [] },
  };
}

const waiting: LinkState = { kind: 'waiting', streams: 1, attempt: 1, server: 0, untilMs: 0 };
const ready: LinkState = {
  kind: 'ready',
  streams: 1,
  stream: 1,
  server: 0,
  sinceMs: 0,
  lastHeardMs: 0,
  silenceMs: 45_000,
  attempt: 0,
  move: undefined,
  successor: undefined,
};

describe('the metrics of an agent', () => {
  it('all begin with openline_agent_ or are those that every process has, say what they mean, and follow the rules of their type', () => {
    for (const { name, type, help } of describeAgentMetrics()) {
      expect(name).toMatch(/^(openline_agent|process)_[a-z_]+$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
      expect(help).toMatch(/^[A-Z0-9].*\.$/);
    }
  });

  it('never have a label per run, user, target or pack', () => {
    const labels = describeAgentMetrics().flatMap((metric) => metric.labels);
    expect(labels.filter((label) => /agent|run|user|target|pack|name/.test(label))).toEqual([]);
  });

  it('are those of docs/metrics.md (`npm run generate` writes it)', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../docs/metrics.md'), 'utf8');
    expect(page).toContain(renderMetricsReference(describeAgentMetrics()));
  });

  it('show what its parts say when somebody asks', async () => {
    const { telemetry, get } = await started();
    telemetry.made(await agentWith(ready));
    const { body } = await get('/metrics');
    for (const line of [
      'openline_agent_link_state{state="ready"} 1',
      'openline_agent_link_state{state="waiting"} 0',
      'openline_agent_tasks_running 2',
      'openline_agent_tasks_queued 1',
      'openline_agent_results_owed 3',
      'openline_agent_output_owed_bytes 4096',
      'openline_agent_self_check_age_seconds{part="executor"} 1.5',
      'openline_agent_faulty 1',
      'openline_agent_event_spool_records 7',
    ]) {
      expect(body).toContain(`${line}\n`);
    }
    expect(Number(/^openline_agent_certificate_expiry_seconds (\S+)$/m.exec(body)?.[1])).toBeGreaterThan(60);
    expect(body).toMatch(/^process_resident_memory_bytes \d+$/m);
  });

  it('count what its parts tell', async () => {
    const { telemetry, get } = await started();
    telemetry.link?.opened();
    telemetry.link?.failed('SERVER_UNREACHABLE');
    telemetry.link?.heartbeat(20);
    telemetry.engine?.ended('timed_out');
    telemetry.engine?.synced(2);
    telemetry.rules?.read(5);
    telemetry.rules?.missed(40);
    telemetry.rules?.holds(12, 3);
    const { body } = await get('/metrics');
    for (const line of [
      'openline_agent_link_opened_total 1',
      'openline_agent_link_failures_total{reason="SERVER_UNREACHABLE"} 1',
      'openline_agent_heartbeat_seconds_bucket{le="0.025"} 1',
      'openline_agent_tasks_total{state="timed_out"} 1',
      'openline_agent_tasks_total{state="lost"} 0',
      'openline_agent_journal_sync_seconds_count 1',
      'openline_agent_events_read_total 5',
      'openline_agent_events_missed_total 40',
      'openline_agent_event_gaps_total 1',
      'openline_agent_watches{kind="rule"} 12',
    ]) {
      expect(body).toContain(`${line}\n`);
    }
  });
});

describe('an agent', () => {
  it('is not ready before it has an identity, and is live meanwhile', async () => {
    const { get } = await started();
    expect(await get('/readyz')).toEqual({
      status: 503,
      body: 'no identity: waits until a server enrols this agent\n',
    });
    expect((await get('/healthz')).status).toBe(200);
  });

  it('is not ready while its link is not', async () => {
    const { telemetry, get } = await started();
    telemetry.made(await agentWith(waiting));
    expect(await get('/readyz')).toEqual({ status: 503, body: 'link: waiting, not ready\n' });
  });

  it('is ready when its link is', async () => {
    const { telemetry, get } = await started();
    telemetry.made(await agentWith(ready));
    expect((await get('/readyz')).status).toBe(200);
  });

  it('listens nowhere, and measures nothing, unless it is told to', async () => {
    const telemetry = await startTelemetry({ log: silentLog, clock: systemClock }, undefined);
    expect(telemetry.link).toBeUndefined();
  });
});
