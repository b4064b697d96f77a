import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { OpenlineError } from '@openline/proto/errors';
import { renderMetricsReference } from '@openline/proto/metrics-reference';
import { describe, expect, it } from 'vitest';
import { createLogger } from './logger.ts';
import { createMetrics, describeMetrics } from './metrics.ts';

describe('metrics', () => {
  it('are shown in the Prometheus format, with those of the process', async () => {
    const metrics = createMetrics();
    metrics.addProcessMetrics();
    metrics.dispatches.with({ state: 'succeeded' }).inc(3);
    const { contentType, body } = await metrics.render();
    expect(contentType).toContain('version=0.0.4');
    expect(body).toContain('openline_dispatches_total{state="succeeded"} 3');
    expect(body).toMatch(/^process_resident_memory_bytes \d+$/m);
    expect(body).toMatch(/^nodejs_heap_size_used_bytes \d+$/m);
  });

  it('count from 0 what may happen, so that the first time is an increase', async () => {
    const { body } = await createMetrics().render();
    expect(body).toContain('openline_dispatches_total{state="lost"} 0');
    expect(body).toContain('openline_dispatch_stage_seconds_count{stage="submit_sent"} 0');
    expect(body).toContain('openline_notifications_total{channel_kind="smtp",outcome="dead"} 0');
    expect(body).toContain('openline_hello_rejected_total{reason="IDENTITY_UNKNOWN"} 0');
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
    expect(page).toContain(renderMetricsReference(describeMetrics()));
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
