// Pages of docs/ that are made of the code. Each page has a test beside the code that compares the two.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { renderConfigReference as renderAgentConfig } from '../agent/src/config/reference.ts';
import { describeAgentMetrics } from '../agent/src/telemetry/metrics.ts';
import { ERRORS } from '../proto/src/errors.ts';
import { renderMetricsReference } from '../proto/src/telemetry/reference.ts';
import { renderConfigReference as renderServerConfig } from '../server/src/config/reference.ts';
import { describeMetrics } from '../server/src/telemetry/metrics.ts';

const docsDir = join(import.meta.dirname, '..', 'docs');

export async function generateDocs(): Promise<void> {
  await writeFile(join(docsDir, 'errors.md'), renderErrors());
  await writeFile(join(docsDir, 'metrics.md'), renderMetrics());
  await writeFile(join(docsDir, 'configuration.md'), renderConfiguration());
}

function renderMetrics(): string {
  return `# Metrics

Generated from \`server/src/telemetry/metrics.ts\` and \`agent/src/telemetry/metrics.ts\` by \`npm run generate\`; do not edit.

In Prometheus’ text format, without authentication; hence on the loopback address, or nowhere, unless you open them. Units are seconds and
bytes. No label names an agent, a run, a user or a target: which agent it is, the scraper’s own labels say. Counters of what may happen are there from
the start, with 0. The [dashboards and alert rules](dashboards.md) of the chart are made of these.

## Server

On \`metricsListen\` (default \`127.0.0.1:9464\`) at \`/metrics\`, besides \`process_…\` and \`nodejs_…\` of its process. \`/healthz\` says that the
process answers, \`/readyz\` that the server can do its work.

${renderMetricsReference(describeMetrics())}
## Agent

On \`metricsListen\` (default: nowhere; the chart sets \`0.0.0.0:9465\`) at \`/metrics\`. \`/healthz\` says that the process answers, \`/readyz\` that its
link with a server is ready.

${renderMetricsReference(describeAgentMetrics())}`;
}

function renderConfiguration(): string {
  return `# Configuration

Generated from the code by \`npm run generate\`; do not edit.

A flag wins over an environment variable, that over the file, that over the default. A list is separated by commas, and its flag may be repeated.
Durations are written \`250ms\`, \`15s\`, \`10m\`, \`1h\`, \`7d\`. A key that does not exist, or a value that cannot be read, stops the process at its
start with \`CONFIG_INVALID\`; the message names the key where it was set, never the value.

## Server

The file is YAML: \`openline server --config FILE\`, or \`OPENLINE_SERVER_CONFIG\`.

${renderServerConfig()}
## Agent

The file is YAML, nested at the dots (\`tasks: {allow: [linux/*]}\`): \`openline agent --config FILE\`, or \`OPENLINE_AGENT_CONFIG\`.

${renderAgentConfig()}`;
}

/** docs/errors.md, in the order of the registry: dispatches, link, operator API, start. */
export function renderErrors(): string {
  const entries = Object.entries(ERRORS).map(
    ([code, { means, doNext }]) => `## ${code}\n\n${means}\n\nWhat to do: ${doNext}\n`,
  );
  return `# Errors

Generated from \`proto/src/errors.ts\` by \`npm run generate\`; do not edit.

Every refusal and every reason of a dispatch has one of these codes. The code is the interface: scripts may depend on it, and a code
that was retired is never used for something else. The message beside it is for people and may change.

- The CLI prints the code in brackets: \`[RUN_UNKNOWN] there is no run «…»\`.
- On the operator API the status message begins with the code in brackets, and the trailing metadata \`openline-error-code\` carries it.
- A dispatch that did not succeed carries it as \`reasonCode\`.

${entries.join('\n')}`;
}
