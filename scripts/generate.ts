// Writes what is generated from other sources and committed. scripts/check.ts fails when it differs from what this writes.
import { generateChartReadme } from './chart-readme.ts';
import { generateDashboards } from './dashboards/dashboards.ts';
import { generateDocs } from './generate-docs.ts';
import { generateProto } from './proto.ts';

await generateProto();
await generateDocs();
await generateChartReadme();
await generateDashboards();
