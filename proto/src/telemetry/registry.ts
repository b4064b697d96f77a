import type { Counter, Gauge, Histogram, KnownLabels, Labelled, MetricDescription } from './metric-types.ts';

/**
 * The metrics of a process, in Prometheus' text format 0.0.4. By hand rather than by a library: that would be 0.7 MiB of the memory that an idle
 * agent may take, and this is all that Openline asks of one.
 */
export interface Registry {
  counter(name: string, help: string): Counter;
  counters<L extends string>(name: string, help: string, labels: KnownLabels<L>): Labelled<Counter, L>;
  gauge(name: string, help: string): Gauge;
  /** There is no series before its value is set: 0 would be a statement. */
  gauges<L extends string>(name: string, help: string, labels: KnownLabels<L>): Labelled<Gauge, L>;
  /** @param buckets upper bounds, ascending */
  histogram(name: string, help: string, buckets: readonly number[]): Histogram;
  histograms<L extends string>(
    name: string,
    help: string,
    labels: KnownLabels<L>,
    buckets: readonly number[],
  ): Labelled<Histogram, L>;
  /** Runs before each scrape: the place to set gauges that are only read off something. */
  beforeScrape(read: () => void): void;
  render(): Promise<Exposition>;
  readonly descriptions: readonly MetricDescription[];
}

export interface Exposition {
  readonly contentType: string;
  readonly body: string;
}

const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

interface Series {
  /** @param labels `a="b",c="d"`, or empty */
  lines(name: string, labels: string): string;
}

export function createRegistry(): Registry {
  const descriptions: MetricDescription[] = [];
  const readers: (() => void)[] = [];
  const families: (() => string)[] = [];

  /** @returns makes and finds the series of label values */
  function family<S extends Series>(description: MetricDescription, make: () => S) {
    const { name, type, help, labels } = description;
    descriptions.push(description);
    const series = new Map<string, S>();
    families.push(() => {
      const lines = Array.from(series, ([shown, one]) => one.lines(name, shown));
      return `# HELP ${name} ${escaped(help)}\n# TYPE ${name} ${type}\n${lines.join('')}`;
    });
    const keyOf = (values: Readonly<Record<string, string>>) =>
      labels.map((label) => `${label}="${escaped(values[label] ?? '').replaceAll('"', '\\"')}"`).join(',');
    const find = (values: Readonly<Record<string, string>>): S => {
      const key = keyOf(values);
      let one = series.get(key);
      if (one === undefined) {
        one = make();
        series.set(key, one);
      }
      return one;
    };
    return { with: find, remove: (values: Readonly<Record<string, string>>) => void series.delete(keyOf(values)) };
  }

  function labelled<S extends Series, L extends string>(
    described: Omit<MetricDescription, 'labels'>,
    labels: KnownLabels<L>,
    make: () => S,
  ): Labelled<S, L> {
    const found = family({ ...described, labels: Object.keys(labels) }, make);
    if (described.type !== 'gauge') for (const values of combinations(labels)) found.with(values);
    return found;
  }

  return {
    counter: (name, help) => family({ name, help, type: 'counter', labels: [] }, createCounter).with({}),
    counters: (name, help, labels) => labelled({ name, help, type: 'counter' }, labels, createCounter),
    gauge: (name, help) => family({ name, help, type: 'gauge', labels: [] }, createGauge).with({}),
    gauges: (name, help, labels) => labelled({ name, help, type: 'gauge' }, labels, createGauge),
    histogram: (name, help, buckets) =>
      family({ name, help, type: 'histogram', labels: [] }, () => createHistogram(buckets)).with({}),
    histograms: (name, help, labels, buckets) =>
      labelled({ name, help, type: 'histogram' }, labels, () => createHistogram(buckets)),
    beforeScrape: (read) => {
      readers.push(read);
    },
    async render() {
      for (const read of readers) read();
      return { contentType: CONTENT_TYPE, body: families.map((lines) => lines()).join('') };
    },
    descriptions,
  };
}

function createCounter(): Counter & Series {
  let total = 0;
  return {
    inc(by = 1) {
      total += by;
    },
    lines: (name, labels) => line(name, labels, total),
  };
}

function createGauge(): Gauge & Series {
  let current = 0;
  return {
    set(value) {
      current = value;
    },
    lines: (name, labels) => line(name, labels, current),
  };
}

function createHistogram(buckets: readonly number[]): Histogram & Series {
  /** Of each bucket alone; the last is what lies beyond all bounds. */
  const counts = new Array<number>(buckets.length + 1).fill(0);
  let sum = 0;
  return {
    observe(value) {
      let at = 0;
      while (at < buckets.length && value > (buckets[at] ?? 0)) at += 1;
      counts[at] = (counts[at] ?? 0) + 1;
      sum += value;
    },
    lines(name, labels) {
      let upTo = 0;
      const within = counts.map((count, at) => {
        upTo += count;
        const bound = `le="${at < buckets.length ? buckets[at] : '+Inf'}"`;
        return line(`${name}_bucket`, labels === '' ? bound : `${labels},${bound}`, upTo);
      });
      return `${within.join('')}${line(`${name}_sum`, labels, sum)}${line(`${name}_count`, labels, upTo)}`;
    },
  };
}

function line(name: string, labels: string, value: number): string {
  const shown = Number.isFinite(value) || Number.isNaN(value) ? String(value) : value > 0 ? '+Inf' : '-Inf';
  return `${name}${labels === '' ? '' : `{${labels}}`} ${shown}\n`;
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

/** Every combination of the known values; none while those of one label are not known. */
function combinations<L extends string>(labels: KnownLabels<L>): Record<string, string>[] {
  let found: Record<string, string>[] = [{}];
  for (const [label, values] of Object.entries<readonly string[]>(labels)) {
    found = found.flatMap((before) => values.map((value) => ({ ...before, [label]: value })));
  }
  return found;
}
