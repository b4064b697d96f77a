import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Health, startTelemetryHttp } from './http.ts';
import { createRegistry } from './registry.ts';

describe('a registry', () => {
  async function shown(fill: (registry: ReturnType<typeof createRegistry>) => void): Promise<string> {
    const registry = createRegistry();
    fill(registry);
    return (await registry.render()).body;
  }

  it('shows what each metric is, and its value', async () => {
    const body = await shown((r) => {
      r.counter('jobs_total', 'Jobs.').inc(3);
      r.gauge('queue_length', 'Waiting.').set(-0.5);
    });
    expect(body).toBe(
      '# HELP jobs_total Jobs.\n# TYPE jobs_total counter\njobs_total 3\n' +
        '# HELP queue_length Waiting.\n# TYPE queue_length gauge\nqueue_length -0.5\n',
    );
  });

  it('counts a histogram up to each bound, bounds included', async () => {
    const body = await shown((r) => {
      const took = r.histogram('took_seconds', 'Took.', [0.1, 1]);
      for (const seconds of [0.05, 0.1, 0.5, 7]) took.observe(seconds);
    });
    expect(body).toContain(
      'took_seconds_bucket{le="0.1"} 2\ntook_seconds_bucket{le="1"} 3\ntook_seconds_bucket{le="+Inf"} 4\n' +
        'took_seconds_sum 7.65\ntook_seconds_count 4\n',
    );
  });

  it('has one series per combination of label values, and counters of known ones from the start', async () => {
    const body = await shown((r) => {
      const jobs = r.counters('jobs_total', 'Jobs.', { kind: ['a', 'b'], outcome: ['ok'] });
      jobs.with({ outcome: 'ok', kind: 'b' }).inc();
      jobs.with({ outcome: 'failed', kind: 'b' }).inc(2);
    });
    expect(body.split('\n').filter((line) => line.startsWith('jobs_total'))).toEqual([
      'jobs_total{kind="a",outcome="ok"} 0',
      'jobs_total{kind="b",outcome="ok"} 1',
      'jobs_total{kind="b",outcome="failed"} 2',
    ]);
  });

  it('shows no gauge that was never set: 0 would be a statement', async () => {
    const body = await shown((r) => r.gauges('expiry_seconds', 'Left.', { certificate: ['ca'] }));
    expect(body).not.toContain('expiry_seconds{');
  });

  it('shows a series no more that has ended', async () => {
    const body = await shown((r) => {
      const agents = r.gauges('agents', 'Agents.', { version: [] });
      for (const version of ['1', '2']) agents.with({ version }).set(3);
      agents.remove({ version: '1' });
    });
    expect(body).toContain('# TYPE agents gauge\nagents{version="2"} 3\n');
  });

  it('reads what is only read off something at each scrape', async () => {
    let length = 0;
    const registry = createRegistry();
    const queue = registry.gauge('queue_length', 'Waiting.');
    registry.beforeScrape(() => queue.set(length));
    length = 4;
    expect((await registry.render()).body).toContain('queue_length 4');
  });

  it('writes what a label may hold so that it can be read back', async () => {
    const body = await shown((r) =>
      r.gauges('info', 'It is\nso.', { text: [] }).with({ text: 'a "b" \\ \n' }).set(Infinity),
    );
    expect(body).toContain('# HELP info It is\\nso.');
    expect(body).toContain('info{text="a \\"b\\" \\\\ \\n"} +Inf');
  });
});

async function started(health: Health) {
  const metrics = createRegistry();
  const http = await startTelemetryHttp({ listen: { host: '127.0.0.1', port: 0 }, metrics, health });
  onTestFinished(() => http.close());
  const get = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${http.address.port}${path}`);
    return { status: response.status, type: response.headers.get('content-type'), body: await response.text() };
  };
  return { metrics, http, get };
}

const ready: Health = { notReady: async () => [] };

describe('the endpoints', () => {
  it('show the metrics', async () => {
    const { metrics, get } = await started(ready);
    metrics.counter('jobs_total', 'Jobs.').inc();
    const answer = await get('/metrics');
    expect(answer).toMatchObject({ status: 200, type: expect.stringContaining('version=0.0.4') });
    expect(answer.body).toContain('jobs_total 1');
  });

  it('are ready when nothing stands against it', async () => {
    const { get } = await started(ready);
    expect(await get('/readyz')).toMatchObject({ status: 200, body: 'ok\n' });
  });

  it('say what stands against it, while the process itself is live', async () => {
    const { get } = await started({ notReady: async () => ['database: does not answer'] });
    expect(await get('/readyz')).toMatchObject({ status: 503, body: 'database: does not answer\n' });
    expect((await get('/healthz')).status).toBe(200);
  });

  it('are not ready when the check fails', async () => {
    const { get } = await started({ notReady: () => Promise.reject(new Error('out of luck')) });
    expect(await get('/readyz')).toMatchObject({ status: 503, body: 'out of luck\n' });
  });

  it('are not ready when the check hangs', async () => {
    const { get } = await started({ notReady: () => new Promise(() => {}) });
    expect((await get('/readyz')).status).toBe(503);
  });

  it('check once for all who ask meanwhile, as anybody may ask, and anew for who asks later', async () => {
    let checks = 0;
    const asked = Promise.withResolvers<void>();
    const answered = Promise.withResolvers<readonly string[]>();
    const { http, get } = await started({
      notReady() {
        checks++;
        asked.resolve();
        return answered.promise;
      },
    });
    // Both in one write, so that both have arrived when the first check begins.
    const socket = connect(http.address);
    const request = 'GET /readyz HTTP/1.1\r\nhost: a\r\n';
    socket.write(`${request}\r\n${request}connection: close\r\n\r\n`);
    const said = text(socket);
    await asked.promise;
    answered.resolve([]);
    expect((await said).match(/200 OK/g)).toHaveLength(2);
    expect(checks).toBe(1);
    await get('/readyz');
    expect(checks).toBe(2);
  });

  it('name the key when their port is taken', async () => {
    const { http } = await started(ready);
    const second = startTelemetryHttp({ listen: http.address, metrics: createRegistry(), health: ready });
    await expect(second).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringContaining('metricsListen'),
    });
  });
});
