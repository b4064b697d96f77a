// How many events a second the rule engine takes on one core, with the compilers of V8 and, as an idle agent runs, without:
// `node test/bench/engine.ts [--events N]`. Prints one JSON object for each.
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { build } from 'esbuild';

const exec = promisify(execFile);
const { values } = parseArgs({ options: { events: { type: 'string', default: '200000' } } });
const dir = await mkdtemp(join(tmpdir(), 'openline-engine-'));
try {
  // Node strips types by WebAssembly, which there is not without the compilers.
  const bundle = join(dir, 'load.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'engine-load.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: bundle,
    banner: { js: "import {createRequire} from 'node:module';const require=createRequire(import.meta.url);" },
    logLevel: 'error',
  });
  for (const flags of [[], ['--jitless']]) {
    const events = flags.length === 0 ? Number(values.events) : Math.ceil(Number(values.events) / 5);
    const { stdout } = await exec(process.execPath, [...flags, bundle, '--events', String(events)]);
    console.log(JSON.stringify({ mode: flags.join(' ') || 'jit', ...JSON.parse(stdout) }));
  }
} finally {
  await rm(dir, { recursive: true });
}
