import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanup, eventually, scratchDir } from '../harness/index.ts';
import { ROOT } from '../harness/paths.ts';
import { type BusyFleet, startBusyFleet } from './busy-fleet.ts';
import { lintMetrics, type Prometheus, promtool, requireTools, startPrometheus } from './prometheus.ts';

const CHART = join(ROOT, 'charts', 'openline');
const RULES = join(CHART, 'rules', 'openline.yaml');

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}
interface Dashboard {
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
}

const dashboards = readdirSync(join(CHART, 'dashboards')).map(
  (file): Dashboard => JSON.parse(readFileSync(join(CHART, 'dashboards', file), 'utf8')),
);

/** As Grafana puts them in when nothing is chosen, and the graph has a point every few seconds. */
function substituted(expr: string): string {
  return expr.replaceAll('$namespace', '.*').replaceAll('$job', '.*').replaceAll('$__rate_interval', '20s');
}

let fleet: BusyFleet;
let prometheus: Prometheus;
beforeAll(async () => {
  await requireTools();
  const dir = scratchDir('metrics');
  fleet = await startBusyFleet(dir);
  prometheus = await startPrometheus(dir, fleet.targets, RULES);
  // Rates need a window of samples, and gauges of what stands in the database a census, which is every 15 s.
  await eventually(
    async () => {
      const [scraped] = await prometheus.query('min(count_over_time(up[5m]) > 15)');
      const [versions] = await prometheus.query('sum(openline_agents_by_version) == 3');
      return scraped !== undefined && versions !== undefined;
    },
    { what: 'enough samples', timeoutMs: 120_000, intervalMs: 500 },
  );
});
afterAll(async () => {
  await fleet?.stop();
  await cleanup();
});

describe('a panel shows data of a busy fleet', () => {
  for (const { title: dashboard, panels } of dashboards) {
    describe(dashboard, () => {
      for (const { title, targets = [] } of panels) {
        for (const { expr } of targets) {
          it(`${title}: ${expr}`, async () => {
            // A scrape that failed, on a machine that is busy, leaves a gap until the next.
            const hasFigures = async () =>
              (await prometheus.query(substituted(expr))).some(({ value }) => Number.isFinite(value));
            await eventually(hasFigures, { what: 'figures', timeoutMs: 30_000, intervalMs: 500 });
          });
        }
      }
    });
  }
});

describe.each(dashboards)('the dashboard $title', ({ title, templating }) => {
  it('offers a choice by namespace, and by the jobs of all that it shows', async () => {
    const offered = new Map<string, readonly string[]>();
    for (const { name, definition = '' } of templating.list) {
      const [, selector, label] = /^label_values\((.+), (\w+)\)$/.exec(substituted(definition)) ?? [];
      if (selector && label) offered.set(name, await prometheus.labelValues(label, selector));
    }
    expect(Object.fromEntries(offered)).toEqual({
      namespace: ['openline'],
      job: title.endsWith('Server') ? ['openline-server'] : ['openline-agent', 'openline-server'],
    });
  });
});

describe('the alert rules', () => {
  it('are read by promtool', async () => {
    expect(await promtool('check', 'rules', RULES)).toContain('SUCCESS');
  });

  it('fire when they should, with the words that a person reads, and are silent when they should', async () => {
    expect(await promtool('test', 'rules', join(CHART, 'rules', 'openline.test.yaml'))).toContain('SUCCESS');
  });

  it('are evaluated by Prometheus without an error, and none fires on a fleet that is well', async () => {
    const rules = await eventually(
      async () => {
        const all = await prometheus.rules();
        return all.every(({ health }) => health !== 'unknown') && all;
      },
      { what: 'each rule to be evaluated' },
    );
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
    expect(rules.filter(({ state }) => state === 'firing').map(({ name }) => name)).toEqual([]);
  });
});

describe('what is scraped', () => {
  it('is text without a fault, as promtool sees it', async () => {
    for (const address of fleet.targets.flatMap(({ addresses }) => addresses.slice(0, 1))) {
      const text = await (await fetch(`http://${address}/metrics`)).text();
      expect(lintMetrics(text)).toEqual([]);
    }
  });
});
