import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buildDashboard } from './builder.ts';
import { dispatch } from './dispatch.ts';
import { fleet } from './fleet.ts';
import { server } from './server.ts';

export const DASHBOARDS = { fleet, dispatch, server };
const directory = join(import.meta.dirname, '..', '..', 'charts', 'openline', 'dashboards');

function files(): Map<string, string> {
  return new Map(
    Object.entries(DASHBOARDS).map(([name, spec]) => [
      `${name}.json`,
      `${JSON.stringify(buildDashboard(spec), null, 2)}\n`,
    ]),
  );
}

export async function generateDashboards(): Promise<void> {
  await mkdir(directory, { recursive: true });
  const wanted = files();
  for (const old of await readdir(directory)) if (!wanted.has(old)) await rm(join(directory, old));
  for (const [name, content] of wanted) await writeFile(join(directory, name), content);
}

/** @returns the files that differ from what would be generated */
export async function dashboardDrift(): Promise<string[]> {
  const wanted = files();
  const found = await readdir(directory).catch(() => []);
  const drift = found.filter((name) => !wanted.has(name));
  for (const [name, content] of wanted) {
    if ((await readFile(join(directory, name), 'utf8').catch(() => '')) !== content) drift.push(name);
  }
  return drift.map((name) => `charts/openline/dashboards/${name}`);
}
