import { digestOf, parsePack } from '@openline/packs';
import { describe, expect, it } from 'vitest';
import { createCatalog } from './catalog.ts';
import type { StoredPack } from './pack-service.ts';

function stored(version: string, task: string, wanted: boolean): StoredPack {
  const content = Buffer.from(`apiVersion: openline.dev/v1
kind: Pack
metadata: { name: sample, version: ${version}, title: Sample, description: For tests. }
tasks:
  ${task}:
    title: Ping
    description: Answers.
    parameters:
      seconds: { type: integer, minimum: 1, default: 5, description: How long. }
    run: { builtin: ping }
`);
  return {
    pack: parsePack(content, 'sample.yaml'),
    digest: digestOf(content),
    content,
    signature: '',
    keyId: '',
    pushedBy: 'ada',
    pushedAt: new Date(0),
    wanted,
  };
}

const catalog = createCatalog([stored('1.9.0', 'ping', false), stored('1.10.0', 'pong', true)]);

describe('a task reference', () => {
  it('names a task of the wanted version, or of the version that is asked for', () => {
    expect(catalog.resolve('sample/pong').stored.pack.version).toBe('1.10.0');
    expect(catalog.resolve('sample@1.9.0/ping').task.name).toBe('ping');
  });

  it('brings the check of the parameters, which fills in the defaults', () => {
    const { validate } = catalog.resolve('sample/pong');
    expect(validate({})).toEqual({ seconds: 5 });
    expect(() => validate({ seconds: 'x' })).toThrow(expect.objectContaining({ code: 'PARAMETERS_INVALID' }));
  });

  it.each([
    ['sample/pnog', 'TASK_UNKNOWN', "pack «sample» 1.10.0 has no task «pnog»; did you mean 'pong'?"],
    ['smaple/pong', 'PACK_UNKNOWN', "there is no pack «smaple»; did you mean 'sample'?"],
    ['sample@2.0.0/pong', 'PACK_UNKNOWN', 'pack «sample» has no version «2.0.0», only 1.10.0, 1.9.0'],
    ['pong', 'REQUEST_INVALID', 'a task is named pack/task, e.g. «sample/pong», not «pong»'],
    ['a/b/c', 'REQUEST_INVALID', 'a task is named pack/task, e.g. «linux/disk-usage», not «a/b/c»'],
    ['', 'REQUEST_INVALID', 'a task is named pack/task, e.g. «linux/disk-usage», not «»'],
  ])('«%s» is refused with %s', (ref, code, message) => {
    expect(() => catalog.resolve(ref)).toThrow(expect.objectContaining({ code, message }));
  });
});

describe('the catalog', () => {
  it('lists the newest version first, by the order of versions and not of letters', () => {
    expect(catalog.all.map(({ pack }) => pack.version)).toEqual(['1.10.0', '1.9.0']);
    expect(catalog.wanted.map(({ pack }) => pack.version)).toEqual(['1.10.0']);
  });

  it('finds a pack by its digest, whatever kind of bytes that is', () => {
    const [newest] = catalog.all;
    expect(catalog.byDigest(Uint8Array.from(newest?.digest ?? []))).toBe(newest);
    expect(catalog.byDigest(new Uint8Array(32))).toBeUndefined();
  });
});
