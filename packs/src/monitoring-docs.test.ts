import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseCases, runCase } from './cases/index.ts';
import { packWith } from './testing/watches.ts';

const text = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'monitoring.md'), 'utf8');
const blocks = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '');

/** The one block that has these words in it. */
function block(words: string): string {
  const found = blocks.filter((each) => each.includes(words));
  expect(found, words).toHaveLength(1);
  return found[0] ?? '';
}

/** docs/monitoring.md shows parts; each is put where it would stand. */
describe('docs/monitoring.md', () => {
  it('shows rules that can be used', () => {
    const parts = ['threshold: {', 'absence:'].map((words, i) => `  r${i}:\n    title: R\n${block(words)}`);
    expect(packWith(block('import-failed:\n    title') + parts.join('')).rules.size).toBe(3);
  });

  it('shows monitors that can be used', () => {
    const trend = `  trend:
    title: T
    probe:
      every: 1m
      run: {command: [df]}
${block('trend: {')}`;
    const answers = `tasks:
  largest-directories: {title: T, parameters: {path: {type: string}}, run: {command: [ls]}}
  empty-cache: {title: T, run: {command: [ls]}}
  tell-the-owner: {title: T, run: {command: [ls]}}
${block('queue:\n    title')}  answered:
    title: A
    probe: {every: 1m, run: {command: [df]}, instance: sample.mount, critical: sample.used_percent > 90}
${block('diagnostic:')}`;
    expect(packWith(`${answers}${block('shop:')}${trend}${block('raid:')}`).monitors.size).toBe(9);
  });

  it('shows tests that hold', () => {
    const pack = packWith(`${block('import-failed:\n    title')}${block('queue:\n    title')}`);
    const results = parseCases(Buffer.from(block('kind: PackTest')), 'docs', pack).map((each) => runCase(pack, each));
    expect(results.map(({ failures }) => failures)).toEqual([[], []]);
  });

  it('speaks of every rule and monitor of the linux pack', () => {
    const linux = readFileSync(join(import.meta.dirname, '..', 'shipped', 'linux.yaml'));
    const lines =
      linux
        .toString()
        .split('\nrules:\n')[1]
        ?.match(/^ {2}[a-z-]+:$/gm) ?? [];
    const named = new Set([...text.matchAll(/^\| `([a-z-]+)` \|/gm)].map((match) => match[1]));
    expect(lines.map((line) => line.trim().slice(0, -1)).filter((name) => !named.has(name))).toEqual([]);
  });
});
