import { describeMetrics } from './metrics.ts';

/** The table of docs/metrics.md. */
export function renderMetricsReference(): string {
  const rows = describeMetrics().map(({ name, type, labels, help }) => {
    const shown = labels.map((label) => `\`${label}\``).join(', ');
    return `| \`${name}\` | ${type} | ${shown} | ${help} |`;
  });
  return `${['| Metric | Type | Labels | What it says |', '| --- | --- | --- | --- |', ...rows].join('\n')}\n`;
}
