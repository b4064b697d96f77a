#!/usr/bin/env node
// `openline` in a checkout: plain JavaScript that any Node reads, so that an old one can say what it needs.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const cli = dirname(dirname(fileURLToPath(import.meta.url)));
const main = join(cli, 'src', 'main.ts');

if (Number.parseInt(process.versions.node, 10) >= 24) {
  // Compiled code and stripped types are kept between starts: half of the start-up time. In the checkout, where nobody else can write.
  const { enableCompileCache } = await import('node:module');
  enableCompileCache?.(join(dirname(cli), 'node_modules', '.cache', 'openline'));
  await import(main);
} else {
  const own = join(dirname(cli), 'node_modules', '.bin', 'node');
  if (!existsSync(own)) {
    console.error(`error [REQUEST_INVALID] openline needs Node 24 or newer, and this is ${process.version}`);
    console.error('→ Install Node 24, or run `npm ci` in the checkout, which brings one.');
    process.exit(2);
  }
  const child = spawn(own, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => child.kill(signal));
  // A terminal gives Ctrl-C to both; passing it on would make it the second one.
  process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'));
  child.on('error', (error) => {
    console.error(`error [REQUEST_INVALID] ${own}: ${error.message}`);
    process.exit(2);
  });
  child.on('exit', (code, signal) => (signal === null ? process.exit(code ?? 1) : process.kill(process.pid, signal)));
}
