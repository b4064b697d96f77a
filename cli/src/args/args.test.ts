import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { targetsOf } from '../commands/run.ts';
import { CliError } from '../failure.ts';
import { testIo } from '../testing/io.ts';
import { closest } from './closest.ts';
import { parseDuration } from './duration.ts';
import { collectParameters, collectReferences } from './parameters.ts';
import { shellQuote } from './quote.ts';

describe('a length of time', () => {
  it('is numbers with units', () => {
    expect(['500ms', '30s', '1h30m', '7d', '1.5h'].map((text) => parseDuration(text, '--ttl'))).toEqual([
      500, 30_000, 5_400_000, 604_800_000, 5_400_000,
    ]);
  });
  it.each(['', '30', 's', '1x', '1h 30m', '-1s', '0s', '1e3s'])('is not «%s»', (text) => {
    expect(() => parseDuration(text, '--ttl')).toThrow(/--ttl/);
  });
  it('never comes out as anything but a whole number above 0', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        let ms = 1;
        try {
          ms = parseDuration(text, '--ttl');
        } catch {}
        expect(Number.isSafeInteger(ms) && ms > 0).toBe(true);
      }),
    );
  });
});

describe('parameters', () => {
  const schema = {
    type: 'object',
    properties: {
      count: { type: 'integer' },
      path: { type: 'string' },
      hosts: { type: 'array', items: { type: 'string' } },
    },
  };
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'openline-args-'));
    writeFileSync(join(dir, 'p.yaml'), 'count: 1\npath: /from/file\n');
    writeFileSync(join(dir, 'script'), 'echo "$(id)"\n');
    writeFileSync(join(dir, 'binary'), Buffer.from([0xff, 0xfe]));
    writeFileSync(join(dir, 'broken.yaml'), 'a: [1\nb: 2\n');
    writeFileSync(join(dir, 'broken.json'), '{"a": 1,\n"b": }');
    return () => rm(dir, { recursive: true, force: true });
  });
  const collect = (options: Parameters<typeof collectParameters>[0]) =>
    collectParameters(options, schema, testIo({ cwd: dir }));

  it('get the types of the schema; what is given by name goes over the file', async () => {
    expect(await collect({ paramsFile: 'p.yaml', param: ['count=5'] })).toEqual({ count: 5, path: '/from/file' });
  });
  it('are split at the first =, and nothing in them is interpreted', async () => {
    expect(await collect({ param: ['path=a=b $(x)\n"'], paramFile: [] })).toEqual({ path: 'a=b $(x)\n"' });
    expect(await collect({ paramFile: ['path=script'] })).toEqual({ path: 'echo "$(id)"\n' });
  });
  it('collect a list when repeated, where the schema says list', async () => {
    expect(await collect({ param: ['hosts=a', 'hosts=b'] })).toEqual({ hosts: ['a', 'b'] });
    await expect(collect({ param: ['path=a', 'path=b'] })).rejects.toThrow(/path/);
  });
  it('refuse what is no pair, no text and no object, and say where', async () => {
    await expect(collect({ param: ['=x'] })).rejects.toThrow(/NAME=VALUE/);
    await expect(collect({ paramFile: ['path=binary'] })).rejects.toThrow(/not UTF-8/);
    await expect(collect({ paramFile: ['path=missing'] })).rejects.toThrow(
      / path from missing: there is no such file$/,
    );
    await expect(collect({ paramsFile: 'broken.json' })).rejects.toThrow(/broken\.json\S* is neither/);
    await expect(collect({ paramsFile: 'broken.yaml' })).rejects.toThrow(/broken\.yaml:\d+:\d+/);
    await expect(collect({ paramsFile: 'script' })).rejects.toThrow(/no object/);
  });
});

describe('parameters that are of the target', () => {
  it('name a property of it', () => {
    expect(collectReferences(['path=label:data-dir', 'os=fact:os', 'who=name'], { count: 1 })).toEqual({
      path: 'label:data-dir',
      os: 'fact:os',
      who: 'name',
    });
    expect(collectReferences(undefined, { count: 1 })).toEqual({});
  });
  it('have a known form, and are given once', () => {
    const refused = (paramFrom: string[], values = {}) => {
      try {
        collectReferences(paramFrom, values);
        return undefined;
      } catch (error) {
        return error instanceof CliError ? `${error.message} ${error.doNext}` : error;
      }
    };
    expect(refused(['path=labels:data-dir'])).toMatch(
      /^what --param-from gives for path is no property .*label:KEY, fact:KEY or name/,
    );
    expect(refused(['path'])).toMatch(/NAME=VALUE/);
    expect(refused(['path=name', 'path=name'])).toMatch(/more than once/);
    expect(refused(['path=name'], { path: '/' })).toMatch(/path is given a value, and by --param-from/);
  });
});

describe('targets', () => {
  it('are an expression, or agents by name', () => {
    expect(targetsOf({ on: 'role=web' })).toBe('role=web');
    expect(targetsOf({ agent: ['web-1'] })).toBe('name=web-1');
    expect(targetsOf({ agent: ['web-1', 'web-2'] })).toBe('name in (web-1,web-2)');
  });
  it('are one of the two, and a name is one name', () => {
    for (const flags of [{}, { on: 'all', agent: ['a'] }, { agent: ['a,b'] }, { agent: [''] }]) {
      expect(() => targetsOf(flags)).toThrow();
    }
  });
});

describe('suggestions and quotes', () => {
  it('suggest what is near and nothing that is far', () => {
    expect(closest('disk-usge', ['disk-usage', 'memory'])).toBe('disk-usage');
    expect(closest('disk', ['disk-usage', 'memory'])).toBe('disk-usage');
    expect(closest('zebra', ['disk-usage', 'memory'])).toBeUndefined();
  });
  it('quote for a shell only what needs it', () => {
    expect(shellQuote('count=5')).toBe('count=5');
    expect(shellQuote("it's $(x)")).toBe("'it'\\''s $(x)'");
  });
});
