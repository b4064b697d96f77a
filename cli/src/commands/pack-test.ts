import { readdir, stat } from 'node:fs/promises';
import { basename, join, relative, resolve } from 'node:path';
import { type Pack, parsePack } from '@openline/packs';
import { type CaseResult, parseCases, runCase } from '@openline/packs/cases';
import { createColors } from 'picocolors';
import { isErrno } from '../config/file.ts';
import { CliError, EXIT, fileProblem, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { readWhole } from '../read-whole.ts';
import { plural, printable } from '../render/text.ts';
import { findShipped } from './pack-files.ts';

/** `payroll.test.yaml` holds the tests of `payroll.yaml`, beside it. */
const TESTS = '.test.yaml';
const MAX_DEPTH = 8;

/** Plays the tests of packs, and says of each whether it holds. @returns 1 when one does not */
export async function testCommand(paths: readonly string[], io: Io): Promise<number> {
  const found = await Promise.all(
    (paths.length === 0 ? ['.'] : paths).map((path) => testsAt(resolve(io.cwd, path), path)),
  );
  const files = [...new Set(found.flat())].sort();
  if (files.length === 0) {
    throw usageError(
      'there are no tests of packs here',
      'Tests of payroll.yaml are in payroll.test.yaml beside it. docs/monitoring.md shows one.',
    );
  }
  let passed = 0;
  let failed = 0;
  for (const file of files) {
    const { pack, results } = await testFile(file, io.cwd);
    passed += results.filter(({ failures }) => failures.length === 0).length;
    failed += results.filter(({ failures }) => failures.length > 0).length;
    report(relative(io.cwd, file) || file, pack, results, io);
  }
  io.out.write(`${plural(passed, 'test')} passed, ${failed} failed\n`);
  return failed === 0 ? EXIT.ok : EXIT.notAll;
}

/** @param given as the user wrote it */
async function testsAt(path: string, given: string): Promise<string[]> {
  const found = await stat(path).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  });
  if (found?.isDirectory() === true) return testsOfPacks(await testsUnder(path, 0));
  const file = found === undefined ? (await findShipped(given))?.path : path;
  if (file === undefined) {
    throw new CliError(
      'REQUEST_INVALID',
      `there is no file or folder ${given}, and no shipped pack of that name`,
      'Give a pack, its tests, or a folder with them.',
    );
  }
  return [file.endsWith(TESTS) ? file : file.replace(/\.ya?ml$/, TESTS)];
}

/** Other programs have files of that name, too (Prometheus' rules). One that cannot be read is told of later. */
async function testsOfPacks(files: readonly string[]): Promise<string[]> {
  const texts = await Promise.all(files.map((file) => readWhole(file, 'tests').then(String, () => undefined)));
  return files.filter((_, index) => texts[index]?.includes('openline.dev/') !== false);
}

async function testsUnder(dir: string, depth: number): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith(TESTS));
  const folders = entries
    .filter(({ name }) => name !== 'node_modules' && !name.startsWith('.'))
    .filter((e) => e.isDirectory());
  const deeper = depth >= MAX_DEPTH ? [] : folders.map(({ name }) => testsUnder(join(dir, name), depth + 1));
  return [...files.map(({ name }) => join(dir, name)), ...(await Promise.all(deeper)).flat()];
}

async function testFile(file: string, cwd: string): Promise<{ pack: Pack; results: readonly CaseResult[] }> {
  const packFile = `${file.slice(0, -TESTS.length)}.yaml`;
  const pack = parsePack(await read(packFile, 'pack'), relative(cwd, packFile));
  const cases = parseCases(await read(file, 'tests'), relative(cwd, file), pack);
  return { pack, results: cases.map((each) => runCase(pack, each)) };
}

async function read(path: string, as: 'pack' | 'tests'): Promise<Buffer> {
  try {
    return await readWhole(path, as);
  } catch (error) {
    const next = `Tests of payroll.yaml are in payroll${TESTS} beside it.`;
    throw new CliError('REQUEST_INVALID', `cannot read the ${as} ${path}: ${fileProblem(error)}`, next, {
      cause: error,
    });
  }
}

function report(file: string, pack: Pack, results: readonly CaseResult[], io: Io): void {
  const paint = createColors(io.out.screen().color);
  const lines = [`${file}: ${pack.name} ${pack.version}`];
  for (const { title, line, failures } of results) {
    if (failures.length === 0) {
      lines.push(`  ${paint.green('✓')} ${printable(title)}`);
      continue;
    }
    lines.push(`  ${paint.red('✗')} ${printable(title)} ${paint.dim(`(${basename(file)}:${line})`)}`);
    for (const failure of failures) {
      lines.push(`      ${basename(file)}:${failure.line}, after ${failure.atMs / 1000} s:`);
      for (const difference of failure.differences) lines.push(`        ${paint.red(printable(difference))}`);
    }
  }
  const untested = untestedIn(pack, results);
  if (untested.length > 0) lines.push(`  ${paint.yellow('not tested:')} ${untested.join(', ')}`);
  io.out.write(`${lines.join('\n')}\n`);
}

function untestedIn({ rules, monitors }: Pack, results: readonly CaseResult[]): string[] {
  const touched = new Set(results.flatMap((result) => [...result.touched]));
  return [...rules.keys(), ...monitors.keys()].filter((name) => !touched.has(name));
}
