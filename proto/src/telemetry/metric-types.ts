/** What the rest of a program sees of a metric. */
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
  /** Of what is no more: its series ends here. */
  remove(labels: Readonly<Record<Label, string>>): void;
}

/**
 * The values of each label that are known beforehand; empty where they are not. A counter of known values is there from the start, with 0: else the first
 * thing that it counts is no increase, and what has never happened cannot be told from what is not measured.
 */
export type KnownLabels<Label extends string> = Readonly<Record<Label, readonly string[]>>;

export interface MetricDescription {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
}
