import { PanelBuilder as BarGauge } from '@grafana/grafana-foundation-sdk/bargauge';
import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import {
  BarGaugeSizing,
  BigValueColorMode,
  BigValueGraphMode,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  ScaleDistribution,
  ScaleDistributionConfigBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizOrientation,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  type DashboardLink,
  DashboardLinkType,
  DatasourceVariableBuilder,
  type DynamicConfigValue,
  FieldColorBuilder,
  FieldColorModeId,
  type GridPos,
  MappingType,
  type Panel,
  QueryVariableBuilder,
  RowBuilder,
  type Threshold,
  type ThresholdsConfig,
  ThresholdsConfigBuilder,
  ThresholdsMode,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import {
  PanelBuilder as Heatmap,
  HeatmapColorMode,
  HeatmapColorOptionsBuilder,
  YAxisConfigBuilder,
} from '@grafana/grafana-foundation-sdk/heatmap';
import { DataqueryBuilder, PromQueryFormat, QueryEditorMode } from '@grafana/grafana-foundation-sdk/prometheus';
import { PanelBuilder as Stat } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as TimeSeries } from '@grafana/grafana-foundation-sdk/timeseries';
import type * as units from '@grafana/grafana-foundation-sdk/units';

/** Grafana's id of it: short, s, bytes, Bps, ops, percentunit, … */
type Unit = Extract<(typeof units)[keyof typeof units], string>;
/** Of Grafana's palette, so that they suit both themes. */
type Color = 'green' | 'yellow' | 'orange' | 'red' | 'purple' | 'blue' | 'text';
/** By what the legend says, or by a regular expression between slashes. Without one, a line has the next colour of Grafana's palette. */
export type Colors = Readonly<Record<string, Color>>;

/** What a panel of any kind has here. No panel without a description: a figure that one has to guess at is none. */
interface Common {
  readonly title: string;
  readonly description: string;
  readonly unit: Unit;
  /** Of 24. */
  readonly width: number;
  readonly height?: number;
  /** From which value on which colour; below all of them green. */
  readonly thresholds?: readonly { readonly from: number; readonly color: Color }[];
  /** Below all thresholds. Default: green; text for a figure that is neither good nor bad. */
  readonly base?: Color;
  readonly colors?: Colors;
  readonly min?: number;
  readonly max?: number;
  readonly decimals?: number;
}

export interface Query {
  readonly expr: string;
  /** With `{{label}}`. */
  readonly legend: string;
}

interface GraphPanel extends Common {
  readonly kind: 'graph';
  readonly queries: readonly Query[];
  readonly stacked?: true;
  readonly logarithmic?: true;
}
/** What is now: when nothing is scraped any more it says so, and not what was last. */
interface StatPanel extends Common {
  readonly kind: 'stat';
  readonly query: Query;
  /** Words in place of values. */
  readonly words?: Readonly<Record<string, { readonly text: string; readonly color: Color }>>;
}
interface BarsPanel extends Common {
  readonly kind: 'bars';
  readonly query: Query;
}
interface HeatmapPanel extends Common {
  readonly kind: 'heatmap';
  /** Of buckets, by `le`. */
  readonly query: string;
}
export type PanelSpec = GraphPanel | StatPanel | BarsPanel | HeatmapPanel;

export interface Section {
  readonly title: string;
  readonly panels: readonly PanelSpec[];
}

export interface DashboardSpec {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  /** The metrics whose labels the variables offer, as a regular expression. */
  readonly seenIn: string;
  readonly sections: readonly Section[];
}

const DATASOURCE = { type: 'prometheus', uid: '$datasource' };
/** As the editor of variables of Prometheus has it: without a type it shows an empty form. */
const LABEL_VALUES = 1;
const TAG = 'openline';
const COLUMNS = 24;
/** Columns below which a legend is a line, and no table. */
const NARROW = 8;
/** In pixels. Two bars would else fill the panel. */
const BAR_HEIGHT = 24;
/** How dispatches, tasks and answers end. */
export const ENDS: Colors = {
  succeeded: 'green',
  failed: 'red',
  timed_out: 'orange',
  lost: 'purple',
  rejected: 'yellow',
  expired: 'blue',
  cancelled: 'text',
};

/** A selector: what the variables choose, and more. */
export function of(metric: string, more = ''): string {
  return `${metric}{namespace=~"$namespace",job=~"$job"${more === '' ? '' : `,${more}`}}`;
}

/** A second, averaged over what one point of the graph stands for. */
export function rate(metric: string, more = ''): string {
  return `rate(${of(metric, more)}[$__rate_interval])`;
}

/** @param by further labels that stay */
export function quantile(q: number, histogram: string, { by = '', more = '' } = {}): string {
  const labels = by === '' ? 'le' : `le, ${by}`;
  return `histogram_quantile(${q}, sum by (${labels}) (${rate(`${histogram}_bucket`, more)}))`;
}

export function buildDashboard(spec: DashboardSpec): Dashboard {
  const builder = new DashboardBuilder(spec.title)
    .uid(spec.uid)
    .description(spec.description)
    .tags([TAG])
    .tooltip(DashboardCursorSync.Crosshair)
    .time({ from: 'now-1h', to: 'now' })
    .refresh('30s')
    .timezone('browser')
    .annotations([])
    .link({ build: linkToTheOthers })
    .withVariable(
      new DatasourceVariableBuilder('datasource')
        .label('Data source')
        .type('prometheus')
        // Else it is the first by name, where there are several.
        .current({ selected: true, text: 'default', value: 'default' }),
    )
    .withVariable(labelVariable('namespace', 'Namespace', `label_values({__name__=~"${spec.seenIn}"}, namespace)`))
    .withVariable(
      labelVariable('job', 'Job', `label_values({__name__=~"${spec.seenIn}",namespace=~"$namespace"}, job)`),
    );
  let id = 0;
  let y = 0;
  for (const { title, panels } of spec.sections) {
    builder.withRow(new RowBuilder(title).id(++id).gridPos({ x: 0, y, w: COLUMNS, h: 1 }));
    y += 1;
    let x = 0;
    let lineHeight = 0;
    for (const panel of panels) {
      const h = panel.height ?? (panel.kind === 'stat' ? 4 : 8);
      if (x + panel.width > COLUMNS) {
        x = 0;
        y += lineHeight;
        lineHeight = 0;
      }
      builder.withPanel(panelOf(panel, ++id, { x, y, w: panel.width, h }));
      x += panel.width;
      lineHeight = Math.max(lineHeight, h);
    }
    y += lineHeight;
  }
  return builder.build();
}

/** The SDK's own builder hides it in a menu (`placement`), and cannot be told otherwise. */
function linkToTheOthers(): DashboardLink {
  return {
    title: 'Openline',
    type: DashboardLinkType.Dashboards,
    icon: 'external link',
    tooltip: '',
    tags: [TAG],
    asDropdown: false,
    targetBlank: false,
    includeVars: true,
    keepTime: true,
  };
}

/** Everything by default, also where the label does not exist: outside of Kubernetes there are no namespaces. */
function labelVariable(name: string, label: string, query: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(label)
    .datasource(DATASOURCE)
    .query({ qryType: LABEL_VALUES, query, refId: 'PrometheusVariableQueryEditor-VariableQuery' })
    .definition(query)
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.*')
    .current({ selected: true, text: ['All'], value: ['$__all'] });
}

/** What the builders of all kinds of panels have in common. */
interface AnyPanel extends Builder<Panel> {
  id(id: number): AnyPanel;
  title(title: string): AnyPanel;
  description(description: string): AnyPanel;
  datasource(datasource: typeof DATASOURCE): AnyPanel;
  gridPos(at: GridPos): AnyPanel;
  unit(unit: string): AnyPanel;
  min(min: number): AnyPanel;
  max(max: number): AnyPanel;
  decimals(decimals: number): AnyPanel;
  thresholds(thresholds: Builder<ThresholdsConfig>): AnyPanel;
  overrideByName(name: string, properties: DynamicConfigValue[]): AnyPanel;
  overrideByRegexp(regexp: string, properties: DynamicConfigValue[]): AnyPanel;
}

function panelOf(spec: PanelSpec, id: number, at: GridPos): Builder<Panel> {
  const panel = visual(spec);
  panel.id(id).title(spec.title).description(spec.description).datasource(DATASOURCE).gridPos(at);
  panel.unit(spec.unit);
  if (spec.min !== undefined) panel.min(spec.min);
  if (spec.max !== undefined) panel.max(spec.max);
  if (spec.decimals !== undefined) panel.decimals(spec.decimals);
  const steps: Threshold[] = [
    { value: null, color: spec.base ?? 'green' },
    ...(spec.thresholds ?? []).map(({ from, color }) => ({ value: from, color })),
  ];
  panel.thresholds(new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps));
  for (const [name, fixedColor] of Object.entries(spec.colors ?? {})) {
    const properties = [{ id: 'color', value: { mode: FieldColorModeId.Fixed, fixedColor } }];
    if (name.startsWith('/')) panel.overrideByRegexp(name, properties);
    else panel.overrideByName(name, properties);
  }
  return panel;
}

function visual(spec: PanelSpec): AnyPanel {
  switch (spec.kind) {
    case 'graph':
      return graph(spec);
    case 'stat':
      return stat(spec);
    case 'bars':
      return bars(spec);
    case 'heatmap':
      return heatmap(spec);
    default:
      return spec satisfies never;
  }
}

function graph({ queries, stacked, logarithmic, thresholds, width, min }: GraphPanel): AnyPanel {
  const panel = new TimeSeries()
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.PaletteClassic))
    .lineWidth(1)
    .fillOpacity(stacked ? 40 : 10)
    .showPoints(VisibilityMode.Never)
    .axisSoftMin(min ?? 0)
    .legend(legend(width))
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending));
  if (stacked) panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'));
  if (logarithmic) panel.scaleDistribution(new ScaleDistributionConfigBuilder().type(ScaleDistribution.Log).log(10));
  if (thresholds) panel.thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed));
  for (const [i, { expr, legend }] of queries.entries()) panel.withTarget(rangeQuery(i, expr).legendFormat(legend));
  return panel;
}

/** What was most is above, since a legend of many lines shows only some. */
function legend(width: number): VizLegendOptionsBuilder {
  const options = new VizLegendOptionsBuilder().showLegend(true).placement(LegendPlacement.Bottom);
  if (width < NARROW) return options.displayMode(LegendDisplayMode.List).calcs([]);
  return options.displayMode(LegendDisplayMode.Table).calcs(['lastNotNull', 'max']).sortBy('Max').sortDesc(true);
}

function stat({ query, words }: StatPanel): AnyPanel {
  const panel = new Stat()
    .colorMode(BigValueColorMode.Value)
    .graphMode(BigValueGraphMode.None)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Thresholds))
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).values(false).fields(''))
    .withTarget(promQuery(0, query.expr).instant().legendFormat(query.legend));
  if (words) {
    const options = Object.fromEntries(
      Object.entries(words).map(([value, word], index) => [value, { ...word, index }]),
    );
    panel.mappings([{ type: MappingType.ValueToText, options }]);
  }
  return panel;
}

function bars({ query }: BarsPanel): AnyPanel {
  return new BarGauge()
    .orientation(VizOrientation.Horizontal)
    .sizing(BarGaugeSizing.Manual)
    .maxVizHeight(BAR_HEIGHT)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Thresholds))
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).values(false).fields(''))
    .withTarget(promQuery(0, query.expr).instant().legendFormat(query.legend));
}

function heatmap({ query, unit }: HeatmapPanel): AnyPanel {
  return new Heatmap()
    .calculate(false)
    .color(new HeatmapColorOptionsBuilder().mode(HeatmapColorMode.Scheme).scheme('Oranges').steps(64).exponent(0.5))
    .yAxis(new YAxisConfigBuilder().unit(unit))
    .cellGap(1)
    .hideLegend()
    .withTarget(rangeQuery(0, query).format(PromQueryFormat.Heatmap).legendFormat('{{le}}'));
}

function rangeQuery(index: number, expr: string): DataqueryBuilder {
  return promQuery(index, expr).range();
}

function promQuery(index: number, expr: string): DataqueryBuilder {
  return new DataqueryBuilder()
    .refId(String.fromCharCode(65 + index))
    .datasource(DATASOURCE)
    .editorMode(QueryEditorMode.Code)
    .expr(expr);
}
