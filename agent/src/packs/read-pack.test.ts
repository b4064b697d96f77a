import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readPackInChild } from './read-pack.ts';

const dir = mkdtempSync(join(tmpdir(), 'openline-reader-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** What is said when the process that reads the pack does this. */
function whenReader(does: string): Promise<unknown> {
  const script = join(dir, 'reader.mjs');
  writeFileSync(script, `process.once('message', () => { ${does} });`);
  return readPackInChild([script])(Buffer.from('a'), 'demo.yaml').then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('the process that reads a pack', () => {
  it('says what is wrong with the pack', async () => {
    expect(await whenReader(`process.send({ code: 'PACK_INVALID', message: 'demo.yaml:1:1: no' })`)).toMatchObject({
      code: 'PACK_INVALID',
    });
  });
  it('is not the pack’s fault when it cannot work, or somebody kills it', async () => {
    expect(await whenReader('process.exit(1)')).toMatchObject({ code: 'PACK_READER_FAILED' });
    expect(await whenReader(`process.kill(process.pid, 'SIGKILL')`)).toMatchObject({ code: 'PACK_READER_FAILED' });
  });
  it('is the pack’s fault when it takes more memory than it is given', async () => {
    expect(await whenReader('process.abort()')).toMatchObject({ code: 'PACK_INVALID' });
  });
});
