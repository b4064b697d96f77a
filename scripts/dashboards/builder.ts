import { PanelBuilder as BarGauge } from '@grafana/grafana-foundation-sdk/bargauge';
import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import {
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
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
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

/** What a panel of any kind has here. No panel without a description: a figure that one has to guess at is none. */
interface Common {
  readonly title: string;
  readonly description: string;
  /** Grafana's id of it: short, s, bytes, Bps, ops, percentunit, … */
  readonly unit: string;
  /** Of 24. */
  readonly width: number;
  readonly height?: number;
  /** From which value on which colour; below all of them green. */
  readonly thresholds?: readonly { readonly from: number; readonly color: 'green' | 'yellow' | 'orange' | 'red' }[];
  /** Below all thresholds. Default: green. */
  readonly base?: 'green' | 'red' | 'text';
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
interface StatPanel extends Common {
  readonly kind: 'stat';
  readonly query: Query;
  /** Words in place of values. */
  readonly words?: Readonly<Record<string, { readonly text: string; readonly color: string }>>;
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
  /** The metric whose labels the variables offer. */
  readonly seenIn: string;
  readonly sections: readonly Section[];
}

const DATASOURCE = { type: 'prometheus', uid: '$datasource' };
const TAG = 'openline';
const COLUMNS = 24;
/** Lines of a legend in a narrow panel beyond which it is a table no more. */
const NARROW = 8;

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
    .link(
      new DashboardLinkBuilder('Openline')
        .type(DashboardLinkType.Dashboards)
        .tags([TAG])
        .icon('external link')
        .includeVars(true)
        .keepTime(true),
    )
    .withVariable(new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'))
    .withVariable(labelVariable('namespace', 'Namespace', `label_values(${spec.seenIn}, namespace)`))
    .withVariable(labelVariable('job', 'Job', `label_values(${spec.seenIn}{namespace=~"$namespace"}, job)`));
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

/** Everything by default, also where the label does not exist: outside of Kubernetes there are no namespaces. */
function labelVariable(name: string, label: string, query: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(label)
    .datasource(DATASOURCE)
    .query({ query, refId: name })
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
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.PaletteClassicByName))
    .lineWidth(1)
    .fillOpacity(stacked ? 40 : 10)
    .showPoints(VisibilityMode.Never)
    .axisSoftMin(min ?? 0)
    .legend(
      new VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(width >= NARROW ? LegendDisplayMode.Table : LegendDisplayMode.List)
        .placement(LegendPlacement.Bottom)
        .calcs(width >= NARROW ? ['lastNotNull', 'max'] : []),
    )
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending));
  if (stacked) panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'));
  if (logarithmic) panel.scaleDistribution(new ScaleDistributionConfigBuilder().type(ScaleDistribution.Log).log(10));
  if (thresholds) panel.thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed));
  for (const [i, { expr, legend }] of queries.entries()) panel.withTarget(rangeQuery(i, expr).legendFormat(legend));
  return panel;
}

function stat({ query, words }: StatPanel): AnyPanel {
  const panel = new Stat()
    .colorMode(BigValueColorMode.Value)
    .graphMode(words ? BigValueGraphMode.None : BigValueGraphMode.Area)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Thresholds))
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']).values(false).fields(''))
    .withTarget(rangeQuery(0, query.expr).legendFormat(query.legend));
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
