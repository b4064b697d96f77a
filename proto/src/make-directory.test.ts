import { existsSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { makeDirectory } from './make-directory.ts';

const dir = mkdtempSync(join(tmpdir(), 'openline-mkdir-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

describe('a directory is made', () => {
  it('with those above it, and with its mode', () => {
    makeDirectory(join(dir, 'a/b/c'), 0o700);
    expect([join(dir, 'a'), join(dir, 'a/b/c')].map((path) => statSync(path).mode & 0o777)).toEqual([0o700, 0o700]);
  });
  it('or is there, perhaps by a link', () => {
    symlinkSync(join(dir, 'a'), join(dir, 'link'));
    makeDirectory(join(dir, 'link'), 0o700);
    makeDirectory(join(dir, 'link/x'), 0o700);
    expect(existsSync(join(dir, 'a/x'))).toBe(true);
  });
  it('or not: a file is in its place, or above it', () => {
    writeFileSync(join(dir, 'file'), '');
    expect(() => makeDirectory(join(dir, 'file'), 0o700)).toThrow('EEXIST');
    expect(() => makeDirectory(join(dir, 'file/x'), 0o700)).toThrow('ENOTDIR');
  });
  it.runIf(process.platform === 'linux')(
    'or the kernel will not have it there: that is said, and not tried for ever',
    () => {
      expect(() => makeDirectory('/proc/openline/x', 0o700)).toThrow(/ENOENT.*'\/proc\/openline'/);
    },
  );
});
