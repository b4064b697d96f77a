import type { Panel, RowPanel } from '@grafana/grafana-foundation-sdk/dashboard';
import { defaultDashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import type { Dataquery } from '@grafana/grafana-foundation-sdk/prometheus';
import { describe, expect, it } from 'vitest';
import { describeAgentMetrics } from '../../agent/src/telemetry/metrics.ts';
import { createMetrics, describeMetrics } from '../../server/src/telemetry/metrics.ts';
import { buildDashboard } from './builder.ts';
import { DASHBOARDS, dashboardDrift } from './dashboards.ts';

const KINDS = ['timeseries', 'stat', 'bargauge', 'heatmap'];
const GRAFANAS_OWN = ['__rate_interval'];

const isRow = (panel: Panel | RowPanel): panel is RowPanel => panel.type === 'row';

/** Metrics and labels as Prometheus knows them: a histogram has its parts. */
async function known(): Promise<Map<string, ReadonlySet<string>>> {
  const found = new Map<string, ReadonlySet<string>>();
  for (const { name, type, labels } of [...describeMetrics(), ...describeAgentMetrics()]) {
    const parts = type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
    for (const part of parts) found.set(`${name}${part}`, new Set(part === '_bucket' ? [...labels, 'le'] : labels));
  }
  const metrics = createMetrics();
  metrics.addProcessMetrics();
  const { body } = await metrics.render();
  for (const [, name = ''] of body.matchAll(/^# TYPE ((?:nodejs|process)_\S+)/gm)) found.set(name, new Set(['kind']));
  found.set('nodejs_gc_duration_seconds_sum', new Set(['kind']));
  return found;
}

it('the dashboards of the chart are those that are described here (`npm run generate` writes them)', async () => {
  expect(await dashboardDrift()).toEqual([]);
});

describe.each(Object.entries(DASHBOARDS))('the dashboard %s', (name, spec) => {
  const dashboard = buildDashboard(spec);
  const panels = dashboard.panels ?? [];
  const figures = panels.filter((panel): panel is Panel => !isRow(panel));
  const queries = figures.flatMap(({ targets = [] }) => targets as Dataquery[]);

  it('has an address of its own, and the schema of the Grafana whose types it is made of', () => {
    expect(dashboard.uid).toBe(`openline-${name}`);
    expect(dashboard.schemaVersion).toBe(defaultDashboard().schemaVersion);
    // Of Grafana 11 and later; an older one is migrated when it is opened.
    expect(dashboard.schemaVersion).toBeGreaterThanOrEqual(42);
  });

  it('has panels of kinds that are not deprecated, each with an id, a title, a description, a unit and a query', () => {
    const ids = panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { type, title, description, targets, fieldConfig } of figures) {
      expect(KINDS).toContain(type);
      expect(title).toBeTruthy();
      expect(description, title).toMatch(/[.!?]$/);
      expect(fieldConfig?.defaults.unit, title).toBeTruthy();
      expect(targets?.length, title).toBeGreaterThan(0);
    }
  });

  it('has no two panels in one place, and none beside the grid', () => {
    const taken = new Map<string, string>();
    for (const { title = '', gridPos } of panels) {
      const { x, y, w, h } = gridPos ?? { x: -1, y: 0, w: 0, h: 0 };
      expect(x).toBeGreaterThanOrEqual(0);
      expect(x + w).toBeLessThanOrEqual(24);
      for (let column = x; column < x + w; column++) {
        for (let line = y; line < y + h; line++) {
          const cell = `${column}:${line}`;
          expect(taken.get(cell), `${title} at ${cell}`).toBeUndefined();
          taken.set(cell, title);
        }
      }
    }
  });

  it('defines each variable that it uses, uses each that it defines, and asks only the data source that was chosen', () => {
    const defined = (dashboard.templating.list ?? []).map((variable) => variable.name);
    const text = JSON.stringify(panels);
    const used = new Set(Array.from(text.matchAll(/\$\{?(\w+)/g), ([, variable = '']) => variable));
    expect([...used].filter((variable) => !GRAFANAS_OWN.includes(variable)).sort()).toEqual([...defined].sort());
    for (const { datasource } of [...figures, ...queries]) {
      expect(datasource).toEqual({ type: 'prometheus', uid: '$datasource' });
    }
  });

  it('asks only for metrics that there are, by labels that they have', async () => {
    const metrics = await known();
    const always = new Set(['namespace', 'job', 'instance']);
    for (const { expr } of queries) {
      const named = Array.from(expr.matchAll(/\b((?:openline|process|nodejs)_\w+)\{([^}]*)\}/g));
      expect(named, expr).not.toEqual([]);
      const labels = new Set<string>();
      for (const [, metric = '', selector = ''] of named) {
        const own = metrics.get(metric);
        expect(own, metric).toBeDefined();
        for (const label of own ?? []) labels.add(label);
        for (const [, label = ''] of selector.matchAll(/(\w+)[!=~]+"/g)) {
          expect(always.has(label) || own?.has(label), `${label} of ${metric}`).toBe(true);
        }
      }
      for (const [, by = ''] of expr.matchAll(/\bby \(([^)]*)\)/g)) {
        for (const label of by.split(',').map((each) => each.trim())) {
          expect(always.has(label) || labels.has(label), `by (${label}) in ${expr}`).toBe(true);
        }
      }
      expect(expr).not.toMatch(/rate\([^)]*\[(?!\$__rate_interval)/);
    }
  });

  it('shows in each legend only labels that the query leaves', () => {
    for (const { expr, legendFormat = '' } of queries) {
      for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
        const left = Array.from(expr.matchAll(/\bby \(([^)]*)\)/g), ([, by = '']) => by.split(/, */)).flat();
        expect(left.length === 0 ? ['instance'] : left, expr).toContain(label);
      }
    }
  });

  it('leads to the others', () => {
    expect(dashboard.tags).toEqual(['openline']);
    expect(dashboard.links).toMatchObject([
      { type: 'dashboards', tags: ['openline'], keepTime: true, includeVars: true },
    ]);
  });
});

it('every metric of Openline is on a dashboard, but for those that only tell of what another tells better', () => {
  const exprs = Object.values(DASHBOARDS)
    .flatMap(({ sections }) => sections)
    .flatMap(({ panels }) => panels)
    .map((panel) => JSON.stringify(panel))
    .join('\n');
  const missing = [...describeMetrics(), ...describeAgentMetrics()]
    .map(({ name }) => name)
    .filter((name) => !new RegExp(`\\b${name}(_bucket|_sum|_count)?\\b`).test(exprs));
  expect(missing).toEqual([
    // Their sum over time is that of the sessions, of the events that were missed.
    'openline_agent_link_opened_total',
    'openline_agent_outcomes_total',
    'openline_agent_event_gaps_total',
    'openline_agent_packs_held',
  ]);
});
