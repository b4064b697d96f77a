import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { collectParameters } from './args/parameters.ts';
import { readConfig } from './config/file.ts';
import { findLocalServer, readSecret } from './config/local-server.ts';
import { readWhole } from './read-whole.ts';
import { testIo } from './testing/io.ts';

const MIB = 1024 * 1024;
const ENDLESS = '/dev/zero';
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'openline-read-'));
  await writeFile(join(dir, 'full'), Buffer.alloc(MIB, 'x'));
  await writeFile(join(dir, 'over'), Buffer.alloc(MIB + 1, 'x'));
  return () => rm(dir, { recursive: true });
});

describe('a file that is read whole', () => {
  it('may be as large as the limit, and not a byte larger', async () => {
    expect((await readWhole(join(dir, 'full'), 'pack')).length).toBe(MIB);
    await expect(readWhole(join(dir, 'over'), 'pack')).rejects.toThrow('it is larger than a pack may be (1 MiB)');
  });

  it('may come by a stream, which is read no further than the limit', async () => {
    let given = 0;
    async function* endless() {
      for (;;) {
        given += MIB;
        yield Buffer.alloc(MIB);
      }
    }
    await expect(readWhole(endless(), 'parameters')).rejects.toThrow('(4 MiB)');
    expect(given).toBe(5 * MIB);
  });

  it('is named in the words of its command, also where it has no end', async () => {
    const of = (options: Parameters<typeof collectParameters>[0]) => collectParameters(options, {}, testIo({}));
    const problem = `cannot read the parameters from ${ENDLESS}: it is larger than the parameters of a run may be (4 MiB)`;
    await expect(of({ paramsFile: ENDLESS })).rejects.toMatchObject({ code: 'REQUEST_INVALID', message: problem });
    await expect(of({ paramFile: [`body=${ENDLESS}`] })).rejects.toThrow(/^cannot read the value of body from/);
    await expect(readConfig(ENDLESS)).rejects.toThrow('cannot use /dev/zero: it is larger than a file of contexts');
    await expect(readSecret(ENDLESS, '--ca')).rejects.toThrow('--ca: cannot read /dev/zero: it is larger than a key');
    expect((await findLocalServer([ENDLESS])).passedOver[0]?.why).toContain('larger than');
  });
});
