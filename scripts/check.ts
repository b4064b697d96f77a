// Every check that needs no running system, one line each: `npm run check`. With --count FILE it writes there, for .ci/run, how many passed, and what failed.
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { chartReadmeDrift } from './chart-readme.ts';
import { dashboardDrift } from './dashboards/dashboards.ts';
import { protoDrift } from './proto.ts';

const exec = promisify(execFile);
const root = join(import.meta.dirname, '..');

/** What a check found: nothing, a reason why it could not look, or text that says what to mend. */
type Outcome = { kind: 'passed' } | { kind: 'skipped'; why: string } | { kind: 'failed'; output: string };
const passed: Outcome = { kind: 'passed' };

async function command(program: string, args: readonly string[], cwd = root): Promise<Outcome> {
  try {
    await exec(program, args, { cwd, maxBuffer: 64 * 1024 * 1024 });
    return passed;
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return { kind: 'failed', output: `${stdout}${stderr}`.trim() || String(error) };
  }
}

async function generatedCode(): Promise<Outcome> {
  const drift = [...(await protoDrift()), ...(await dashboardDrift())];
  if (drift.length === 0) return passed;
  return { kind: 'failed', output: `differs from what it is made of; run \`npm run generate\`: ${drift.join(', ')}` };
}

async function chartReadme(): Promise<Outcome> {
  const output = await chartReadmeDrift();
  return output === undefined ? passed : { kind: 'failed', output };
}

/** Compares with the last commit of main that is not this one; a shallow or exported checkout may have none. */
async function breakingChanges(): Promise<Outcome> {
  const base = await baseCommit();
  if (base === undefined) return { kind: 'skipped', why: 'no earlier commit here to compare the protocol with' };
  const dir = await mkdtemp(join(tmpdir(), 'openline-breaking-'));
  try {
    // An archive and not `--against .git`: buf clones for that, which a shallow checkout refuses.
    const archive = join(dir, 'proto.tar');
    await exec('git', ['archive', '-o', archive, base, 'proto'], { cwd: root });
    await exec('tar', ['-xf', archive, '-C', dir]);
    return await command('buf', ['breaking', '--against', join(dir, 'proto')], join(root, 'proto'));
  } finally {
    await rm(dir, { recursive: true });
  }
}

async function baseCommit(): Promise<string | undefined> {
  const commitOf = async (ref: string): Promise<string | undefined> => {
    try {
      const { stdout } = await exec('git', ['rev-parse', '--verify', '--quiet', `${ref}^{commit}`], { cwd: root });
      return stdout.trim();
    } catch {
      return undefined;
    }
  };
  const head = await commitOf('HEAD');
  for (const ref of ['origin/main', 'main', 'HEAD~1']) {
    const commit = await commitOf(ref);
    if (commit !== undefined && commit !== head) return commit;
  }
  return undefined;
}

const checks: Record<string, () => Promise<Outcome>> = {
  'package-lock.json names every platform': () => command('node', ['scripts/complete-lock.mjs']),
  'format and lint (biome)': () => command('biome', ['ci', '--error-on-warnings', '--colors=off', '.']),
  'types (tsc)': () => command('tsc', ['-p', '.']),
  'protocol style (buf lint)': () => command('buf', ['lint'], join(root, 'proto')),
  'protocol compatibility (buf breaking)': breakingChanges,
  'generated code is current': generatedCode,
  'the reference of the chart is current': chartReadme,
  'no unused code or dependency (knip)': () => command('knip', []),
};

const { values: options } = parseArgs({ options: { count: { type: 'string' } } });
const counts = { passed: 0, failed: 0, skipped: 0 };
const failures: { title: string; why: string }[] = [];
for (const [title, check] of Object.entries(checks)) {
  const startMs = performance.now();
  const outcome = await check();
  counts[outcome.kind]++;
  const tookMs = Math.round(performance.now() - startMs);
  const mark = { passed: 'ok     ', skipped: 'skipped', failed: 'FAILED ' }[outcome.kind];
  console.log(`${mark} ${title} (${tookMs} ms)${outcome.kind === 'skipped' ? `: ${outcome.why}` : ''}`);
  if (outcome.kind !== 'failed') continue;
  console.log(outcome.output.replace(/^/gm, '        '));
  failures.push({ title, why: outcome.output });
}
if (options.count !== undefined) await writeFile(options.count, JSON.stringify({ ...counts, failures }));
process.exitCode = counts.failed > 0 ? 1 : 0;
