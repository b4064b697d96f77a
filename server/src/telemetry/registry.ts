import * as prom from 'prom-client';
import type { Counter, Gauge, Histogram, Labelled, MetricDescription } from './metric-types.ts';

/** Thin typed makers over prom-client: the only module that imports it, so that moving to its successor is one file. */
export interface Registry {
  counter(name: string, help: string): Counter;
  counters<L extends string>(name: string, help: string, labels: readonly L[]): Labelled<Counter, L>;
  gauge(name: string, help: string): Gauge;
  gauges<L extends string>(name: string, help: string, labels: readonly L[]): Labelled<Gauge, L>;
  histogram(name: string, help: string, buckets: readonly number[]): Histogram;
  histograms<L extends string>(
    name: string,
    help: string,
    labels: readonly L[],
    buckets: readonly number[],
  ): Labelled<Histogram, L>;
  /** Runs before each scrape: the place to set gauges that are only read off something. */
  beforeScrape(read: () => void): void;
  /** Adds what is known of the process and of Node: `process_…`, `nodejs_…`. */
  addProcessMetrics(): void;
  render(): Promise<{ contentType: string; body: string }>;
  readonly descriptions: readonly MetricDescription[];
}

export function createRegistry(): Registry {
  const registry = new prom.Registry();
  const descriptions: MetricDescription[] = [];
  const readers: (() => void)[] = [];

  function describe(type: MetricDescription['type'], name: string, help: string, labels: readonly string[]) {
    descriptions.push({ name, type, help, labels });
    return { name, help, labelNames: [...labels], registers: [registry] };
  }

  return {
    counter: (name, help) => new prom.Counter(describe('counter', name, help, [])),
    counters: (name, help, labels) => {
      const metric = new prom.Counter(describe('counter', name, help, labels));
      return labelled(labels, (values) => metric.labels(values));
    },
    gauge: (name, help) => new prom.Gauge(describe('gauge', name, help, [])),
    gauges: (name, help, labels) => {
      const metric = new prom.Gauge(describe('gauge', name, help, labels));
      return labelled(labels, (values) => metric.labels(values));
    },
    histogram: (name, help, buckets) =>
      new prom.Histogram({ ...describe('histogram', name, help, []), buckets: [...buckets] }),
    histograms: (name, help, labels, buckets) => {
      const metric = new prom.Histogram({ ...describe('histogram', name, help, labels), buckets: [...buckets] });
      return labelled(labels, (values) => metric.labels(values));
    },
    beforeScrape: (read) => {
      readers.push(read);
    },
    addProcessMetrics: () => prom.collectDefaultMetrics({ register: registry }),
    async render() {
      for (const read of readers) read();
      return { contentType: registry.contentType, body: await registry.metrics() };
    },
    descriptions,
  };
}

/** The library hashes the labels at each call; a hot path should pay for that once per series. */
function labelled<M, L extends string>(labels: readonly L[], make: (values: Record<L, string>) => M): Labelled<M, L> {
  const series = new Map<string, M>();
  return {
    with(values) {
      const key = labels.map((label) => values[label]).join('\0');
      let metric = series.get(key);
      if (metric === undefined) {
        metric = make(values);
        series.set(key, metric);
      }
      return metric;
    },
  };
}
