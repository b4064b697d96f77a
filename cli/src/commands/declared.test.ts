import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { testIo } from '../testing/io.ts';
import { applyCommand } from './declared.ts';

const MIB = 1024 * 1024;
let cwd: string;
beforeAll(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'openline-apply-'));
  for (let i = 1; i <= 9; i++) await writeFile(join(cwd, `${i}.yaml`), Buffer.alloc(MIB, '#'));
  return () => rm(cwd, { recursive: true });
});
const apply = (...filename: string[]) =>
  applyCommand({ filename, output: 'table' }, { server: 'localhost:1' }, testIo({ cwd, home: cwd }));

describe('openline apply', () => {
  it('names the file that is too large, and the limit, also in a folder', async () => {
    await writeFile(join(cwd, 'large.yml'), Buffer.alloc(MIB + 1, '#'));
    const problem = 'it is larger than a file of declared objects may be (1 MiB)';
    await expect(apply('1.yaml', 'large.yml')).rejects.toThrow(`cannot read large.yml: ${problem}`);
    await expect(apply('.')).rejects.toThrow(`cannot read large.yml: ${problem}`);
    await rm(join(cwd, 'large.yml'));
  });

  it('says how much the files are together, where that is more than one message takes', async () => {
    await expect(apply('.')).rejects.toMatchObject({
      message: '.: 9 files of 9.0 MiB together; one apply takes 8.0 MiB',
      doNext: 'Apply them in several parts.',
    });
    await expect(apply('1.yaml', '2.yaml')).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE' });
  });
});
