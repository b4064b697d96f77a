// The Helm chart, without a cluster: `npm run check:chart`. Lints and renders it with the values of each file in ci/, and plays the specs in tests/.
// Needs `helm` on the PATH, and its plugin `unittest` for the specs. With --count FILE it writes
// there, for .ci/run, how many passed, and what failed.
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs, promisify } from 'node:util';

const exec = promisify(execFile);
const root = join(import.meta.dirname, '..');
const chart = join(root, 'charts', 'openline');
/** The oldest that the chart takes; a helm that was built without one has an older in mind. */
const KUBE_VERSION = '1.32.0';
const counts = { passed: 0, failed: 0, skipped: 0 };
const failures: { title: string; why: string }[] = [];

/** @returns what helm wrote, on either stream */
async function helm(...args: string[]): Promise<{ ok: boolean; output: string }> {
  try {
    const { stdout, stderr } = await exec('helm', args, { cwd: root, maxBuffer: 64 * 1024 * 1024 });
    return { ok: true, output: `${stdout}${stderr}` };
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return { ok: false, output: `${stdout}${stderr}`.trim() || String(error) };
  }
}

function tell(outcome: keyof typeof counts, title: string, detail = ''): void {
  counts[outcome]++;
  if (outcome === 'failed') failures.push({ title, why: detail });
  console.log(`${{ passed: 'ok     ', failed: 'FAILED ', skipped: 'skipped' }[outcome]} ${title}`);
  if (detail !== '') console.log(detail.replace(/^/gm, '        '));
}

async function check(title: string, ...args: string[]): Promise<void> {
  const { ok, output } = await helm(...args);
  if (ok) tell('passed', title);
  else tell('failed', title, output);
}

/** What must not be so: that a release of the chart alone restarts every agent. */
async function checkVersions(): Promise<void> {
  const title = 'pods are the same in the next version of the chart';
  const dir = await mkdtemp(join(tmpdir(), 'openline-chart-'));
  try {
    const next = join(dir, 'openline');
    await cp(chart, next, { recursive: true });
    const about = await readFile(join(next, 'Chart.yaml'), 'utf8');
    await writeFile(join(next, 'Chart.yaml'), about.replace(/^(version|appVersion): .*$/gm, '$1: 99.9.9'));
    const [now, then] = await Promise.all([podsOf(chart), podsOf(next)]);
    if (now !== undefined && now === then) tell('passed', title);
    else tell('failed', title, `now:\n${now}\nthen:\n${then}`);
  } finally {
    await rm(dir, { recursive: true });
  }
}

/** @returns undefined: they could not be rendered, which was told */
async function podsOf(folder: string): Promise<string | undefined> {
  const pods = ['server/statefulset', 'agent/daemonset'].flatMap((name) => ['--show-only', `templates/${name}.yaml`]);
  const images = ['--set-string', 'server.image.tag=1,agent.image.tag=1', '--kube-version', KUBE_VERSION];
  const { output } = await helm('template', 'openline', folder, ...pods, ...images);
  const found = output.split(/^---$/m).flatMap((text) => /^ {2}template:\n(?: {4}.*\n)+/m.exec(text)?.[0] ?? []);
  if (found.length === 2) return found.join('\n');
  console.log(output);
  return undefined;
}

const { values: options } = parseArgs({ options: { count: { type: 'string' } } });
if (!(await helm('version')).ok) {
  tell('skipped', 'the chart: there is no `helm` on the PATH');
} else {
  for (const file of (await readdir(join(chart, 'ci'))).sort()) {
    const values = join(chart, 'ci', file);
    const name = relative(root, values);
    const given = [chart, '--values', values, '--kube-version', KUBE_VERSION];
    await check(`helm lint, ${name}`, 'lint', '--strict', '--quiet', ...given);
    await check(`helm template, ${name}`, 'template', 'openline', '--namespace', 'openline', ...given);
  }
  await checkVersions();
  if ((await helm('unittest', '--help')).ok) await check('helm unittest', 'unittest', chart);
  else tell('skipped', 'helm unittest: there is no such plugin (https://github.com/helm-unittest/helm-unittest)');
}
if (options.count !== undefined) await writeFile(options.count, JSON.stringify({ ...counts, failures }));
process.exitCode = counts.failed > 0 ? 1 : 0;
