import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Health, startTelemetryHttp } from './http.ts';
import { createLogger } from './logger.ts';
import { createMetrics, describeMetrics } from './metrics.ts';
import { renderMetricsReference } from './reference.ts';

async function started(health: Health) {
  const metrics = createMetrics();
  const http = await startTelemetryHttp({ listen: { host: '127.0.0.1', port: 0 }, metrics, health });
  onTestFinished(() => http.close());
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${http.address.port}${path}`);
    return { status: response.status, body: await response.text() };
  };
  return { metrics, http, get };
}

const ready: Health = { notReady: async () => [] };

describe('metrics', () => {
  it('are shown in the Prometheus format with the labels they were counted with', async () => {
    const { metrics, get } = await started(ready);
    metrics.dispatches.with({ state: 'succeeded' }).inc(3);
    metrics.dispatchStage.with({ stage: 'submit_sent' }).observe(0.0007);
    metrics.beforeScrape(() => metrics.agentsConnected.set(7));
    const { status, body } = await get('/metrics');
    expect(status).toBe(200);
    expect(body).toContain('openline_dispatches_total{state="succeeded"} 3');
    expect(body).toContain('openline_dispatch_stage_seconds_bucket{le="0.001",stage="submit_sent"} 1');
    expect(body).toContain('openline_agents_connected 7');
  });

  it('all begin with openline_, say what they mean, and follow the naming rules of their type', () => {
    for (const { name, type, help } of describeMetrics()) {
      expect(name).toMatch(/^openline_[a-z_]+$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
      expect(help).toMatch(/^[A-Z0-9].*\.$/);
    }
  });

  it('never have a label per agent, run, user or target', () => {
    const labels = describeMetrics().flatMap((metric) => metric.labels);
    expect(labels.filter((label) => /agent|run|user|target|principal|token|name/.test(label))).toEqual([]);
  });

  it('are those of docs/metrics.md (`npm run generate` writes it)', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../docs/metrics.md'), 'utf8');
    expect(page).toContain(renderMetricsReference());
  });
});

describe('the health endpoints', () => {
  it('are ready when nothing stands against it', async () => {
    const { get } = await started(ready);
    expect(await get('/readyz')).toEqual({ status: 200, body: 'ok\n' });
  });

  it('say what stands against it, while the process itself is live', async () => {
    const { get } = await started({ notReady: async () => ['database: does not answer'] });
    expect(await get('/readyz')).toEqual({ status: 503, body: 'database: does not answer\n' });
    expect((await get('/healthz')).status).toBe(200);
  });

  it('are not ready when the check fails', async () => {
    const { get } = await started({ notReady: () => Promise.reject(new Error('out of luck')) });
    expect(await get('/readyz')).toEqual({ status: 503, body: 'out of luck\n' });
  });

  it('are not ready when the check hangs', async () => {
    const { get } = await started({ notReady: () => new Promise(() => {}) });
    expect((await get('/readyz')).status).toBe(503);
  });

  it('name the key when their port is taken', async () => {
    const { http } = await started(ready);
    const second = startTelemetryHttp({ listen: http.address, metrics: createMetrics(), health: ready });
    await expect(second).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringContaining('metricsListen'),
    });
  });
});

describe('the logger', () => {
  it('writes one line of JSON per event, with the level as a word and the time as people read it', () => {
    const lines: string[] = [];
    const log = createLogger('info', { write: (line) => lines.push(line) });
    log.debug('not this');
    log.info({ runId: 'r1' }, 'a run was submitted');
    log.error({ err: new Error('why') }, 'failed');
    expect(lines).toHaveLength(2);
    const [info, error] = lines.map((line) => JSON.parse(line));
    expect(info).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      runId: 'r1',
      msg: 'a run was submitted',
    });
    expect(error.err).toMatchObject({ message: 'why', stack: expect.any(String) });
  });

  it('writes an error that was foreseen with its cause, and without a stack', () => {
    const lines: string[] = [];
    const log = createLogger('info', { write: (line) => lines.push(line) });
    const cause = new Error('connect ECONNREFUSED');
    log.error({ err: new OpenlineError('STORE_UNAVAILABLE', 'the database is away', { cause }) }, 'refused');
    log.error({ err: new OpenlineError('INTERNAL', 'a mistake') }, 'failed');
    const [foreseen, mistake] = lines.map((line) => JSON.parse(line));
    expect(foreseen.err).toEqual({
      type: 'OpenlineError',
      name: 'OpenlineError',
      code: 'STORE_UNAVAILABLE',
      message: 'the database is away: connect ECONNREFUSED',
    });
    expect(mistake.err.stack).toEqual(expect.any(String));
  });
});
