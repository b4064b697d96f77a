import type { MetricDescription } from './metric-types.ts';

/** A table of docs/metrics.md. */
export function renderMetricsReference(descriptions: readonly MetricDescription[]): string {
  const rows = descriptions.map(({ name, type, labels, help }) => {
    const shown = labels.map((label) => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${type} | ${shown} | ${help} |`;
  });
  return `${['| Metric | Type | Labels | What it says |', '| --- | --- | --- | --- |', ...rows].join('\n')}\n`;
}
