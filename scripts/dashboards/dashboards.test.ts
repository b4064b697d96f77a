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
/** What the SDK leaves open, of what is in the registries of `@grafana/data` 13.2. It takes 180 MB, so nothing here asks it. */
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  reducers: ['lastNotNull', 'max'],
  transformations: [],
  modes: ['thresholds', 'palette-classic', 'fixed'],
  mappings: ['value'],
  matchers: ['byName', 'byRegexp'],
  properties: ['color'],
  colours: ['green', 'yellow', 'orange', 'red', 'purple', 'blue', 'text'],
};

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

it('no two dashboards have one title, since they may come into one folder', () => {
  const titles = Object.values(DASHBOARDS).map(({ title }) => title);
  expect(new Set(titles).size).toBe(titles.length);
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

  it('has nothing by which Grafana knows a dashboard that was exported, and that its provisioning does not fill in', () => {
    expect(Object.keys(dashboard)).not.toEqual(expect.arrayContaining([expect.stringMatching(/^(__|id$|version$)/)]));
    expect(dashboard.uid).toMatch(/^[a-z-]{8,40}$/);
    expect(dashboard.annotations).toEqual({ list: [] });
  });

  it('is looked at in the reader’s time, and not more often than Grafana allows by default', () => {
    expect(dashboard.timezone).toBe('browser');
    expect(dashboard.refresh).toBe('30s');
  });

  it('takes the default data source, and offers everything by what Prometheus knows of servers and agents', () => {
    const [datasource, namespace, job] = dashboard.templating.list ?? [];
    const isDefault = { text: 'default', value: 'default' };
    expect(datasource).toMatchObject({ type: 'datasource', query: 'prometheus', current: isDefault });
    const everything = { type: 'query', includeAll: true, allValue: '.*', current: { value: ['$__all'] } };
    for (const variable of [namespace, job]) expect(variable).toMatchObject(everything);
    // One asks only for what is before it, so that there is an order in which they can be asked.
    expect(JSON.stringify(namespace?.query)).not.toMatch(/\$(?!datasource)/);
    expect(JSON.stringify(job?.query)).toMatch(/\$namespace/);
    expect(job?.query).toMatchObject({ qryType: 1 });
  });

  it('names only what Grafana has: reducers, matchers, modes of colour, properties and colours', () => {
    const named: Record<string, Set<unknown>> = {};
    const note = (kind: string, ...ids: unknown[]) => {
      named[kind] = new Set([...(named[kind] ?? []), ...ids]);
    };
    for (const { options, fieldConfig, transformations = [] } of figures) {
      const { color, thresholds, mappings = [] } = fieldConfig?.defaults ?? {};
      note('reducers', ...(options.legend?.calcs ?? []), ...(options.reduceOptions?.calcs ?? []));
      note('transformations', ...transformations.map(({ id }) => id));
      if (color) note('modes', color.mode);
      note('mappings', ...mappings.map(({ type }) => type));
      note('colours', ...(thresholds?.steps ?? []).map((step) => step.color));
      for (const { matcher, properties } of fieldConfig?.overrides ?? []) {
        note('matchers', matcher.id);
        note('properties', ...properties.map(({ id }) => id));
        note('modes', ...properties.map(({ value }) => value.mode));
        note('colours', ...properties.map(({ value }) => value.fixedColor));
      }
    }
    for (const [kind, ids] of Object.entries(named))
      expect(KNOWN[kind], kind).toEqual(expect.arrayContaining([...ids]));
  });

  it('has titles that are not cut where the window is 1280 pixels wide', () => {
    for (const { title = '', gridPos } of figures)
      expect(title.length, title).toBeLessThanOrEqual(5 * (gridPos?.w ?? 0));
  });

  it('shows as a single figure only what is now, not what was last when there was something to see', () => {
    for (const { type, title, targets = [], options } of figures) {
      if (type !== 'stat') continue;
      expect(targets, title).toMatchObject([{ instant: true, range: false }]);
      expect(options.graphMode, title).toBe('none');
    }
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

  it('leads to the others, where one sees it and not in a menu', () => {
    expect(dashboard.tags).toEqual(['openline']);
    expect(dashboard.links).toMatchObject([
      { type: 'dashboards', tags: ['openline'], keepTime: true, includeVars: true },
    ]);
    expect(dashboard.links?.[0]).not.toHaveProperty('placement');
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
