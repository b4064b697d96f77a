import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { testIo } from '../testing/io.ts';
import { testCommand } from './pack-test.ts';

const pack = `apiVersion: openline.dev/v1
kind: Pack
metadata: {name: payroll, version: 1.0.0, title: Payroll}
rules:
  failed: {title: T, on: {source: payroll}, alert: {severity: warning, title: It failed}}
  other: {title: T, on: {source: other}, metric: others}
`;
const tests = (title: string) => `apiVersion: openline.dev/v1
kind: PackTest
cases:
  - title: a failure raises an alert
    steps:
      - event: {source: payroll}
        expect: {detections: [{rule: failed, alert: {title: ${title}}}]}
`;

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'openline-pack-test-'));
  mkdirSync(join(cwd, 'packs'));
  writeFileSync(join(cwd, 'packs', 'payroll.yaml'), pack);
  return () => rmSync(cwd, { recursive: true, force: true });
});

async function test(...paths: string[]) {
  const io = testIo({ cwd });
  return { exitCode: await testCommand(paths, io), out: io.out.text };
}

describe('openline packs test', () => {
  it('finds the tests under a folder, says which hold, and what nobody tested', async () => {
    writeFileSync(join(cwd, 'packs', 'payroll.test.yaml'), tests('It failed'));
    const out = `packs/payroll.test.yaml: payroll 1.0.0
  ✓ a failure raises an alert
  not tested: other
1 test passed, 0 failed
`;
    for (const path of [[], ['packs'], ['packs/payroll.yaml'], ['packs/payroll.test.yaml', 'packs']]) {
      expect(await test(...path)).toEqual({ exitCode: 0, out });
    }
  });

  it('leaves alone what is of another program', async () => {
    writeFileSync(join(cwd, 'packs', 'payroll.test.yaml'), tests('It failed'));
    writeFileSync(join(cwd, 'rules.yaml'), 'groups: []\n');
    writeFileSync(join(cwd, 'rules.test.yaml'), 'rule_files: [rules.yaml]\n');
    expect((await test()).out).toMatch(/1 test passed, 0 failed\n$/);
  });

  it('knows the shipped packs by their names', async () => {
    const { exitCode, out } = await test('utility');
    expect(exitCode).toBe(0);
    expect(out).toMatch(/utility\.test\.yaml: utility \d/);
  });

  it('ends with 1 when one does not hold, and shows the difference with its place', async () => {
    writeFileSync(join(cwd, 'packs', 'payroll.test.yaml'), tests('All is well'));
    expect(await test()).toEqual({
      exitCode: 1,
      out: `packs/payroll.test.yaml: payroll 1.0.0
  ✗ a failure raises an alert (payroll.test.yaml:4)
      payroll.test.yaml:6, after 0 s:
        detections[0].alert.title: expected "All is well", got "It failed"
  not tested: other
0 tests passed, 1 failed
`,
    });
  });

  it('refuses what it cannot read: no tests, no pack beside them, mistakes in them', async () => {
    await expect(test()).rejects.toThrow(/there are no tests of packs here/);
    await expect(test('nowhere')).rejects.toThrow(/there is no file or folder nowhere/);
    await expect(test('packs/payroll.yaml')).rejects.toThrow(/cannot read the tests/);
    writeFileSync(join(cwd, 'packs', 'lone.test.yaml'), tests('x'));
    await expect(test()).rejects.toThrow(/cannot read the pack .*lone\.yaml/);
    writeFileSync(join(cwd, 'packs', 'payroll.test.yaml'), tests('x').replace('title: a', 'name: a'));
    await expect(test('packs/payroll.yaml')).rejects.toThrow(
      /^packs\/payroll\.test\.yaml:4:5: unknown field 'name' in a case/m,
    );
  });
});
