/** What the rest of the server sees of a metric. No type of the metrics library leaves metrics.ts. */
export interface Counter {
  inc(by?: number): void;
}
export interface Gauge {
  set(value: number): void;
}
export interface Histogram {
  observe(value: number): void;
}

/**
 * A metric with labels. `with` returns the series of these label values; hot paths keep it.
 * Label values come from closed sets only: no agent, run, user or target.
 */
export interface Labelled<Metric, Label extends string> {
  with(labels: Readonly<Record<Label, string>>): Metric;
}

export interface MetricDescription {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
}
