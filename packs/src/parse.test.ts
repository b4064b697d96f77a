import { MAX_PACK_BYTES } from '@openline/proto/limits';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PackError } from './errors.ts';
import { parsePack } from './parse.ts';

const HEAD = `apiVersion: openline.dev/v1
kind: Pack
metadata:
  name: demo
  version: 1.0.0
  title: Demo
tasks:
`;

function problems(text: string | Uint8Array): string[] {
  try {
    parsePack(typeof text === 'string' ? Buffer.from(text) : text, 'demo.yaml');
  } catch (error) {
    if (error instanceof PackError) return error.message.split('\n');
    throw error;
  }
  return [];
}

function task(lines: string): string {
  return `${HEAD}  t:\n    title: T\n    ${lines.trim().replaceAll('\n', '\n    ')}\n`;
}

describe('a pack', () => {
  it('becomes tasks, with what it leaves out filled in', () => {
    const pack = parsePack(Buffer.from(task('run: {command: [ls, -l]}')), 'demo.yaml');
    expect(pack).toMatchObject({ name: 'demo', version: '1.0.0', title: 'Demo', description: '' });
    expect(pack.tasks.get('t')).toEqual({
      name: 't',
      title: 'T',
      description: '',
      risk: 'read',
      timeoutMs: 60_000,
      successCodes: [0],
      requires: {},
      parametersSchema: {
        $schema: 'https://json-schema.org/draft/2020-12/schema',
        type: 'object',
        properties: {},
        additionalProperties: false,
      },
      runner: { kind: 'command', program: 'ls', args: [{ kind: 'literal', text: '-l' }] },
      examples: [],
      maintenance: 'run',
    });
  });

  it('requires a parameter unless it has a default or is optional', () => {
    const text = task(`
parameters:
  a: {type: string}
  b: {type: string, default: x}
  c: {type: string, optional: true}
run: {builtin: ping}`);
    const { parametersSchema } = parsePack(Buffer.from(text), 'demo.yaml').tasks.get('t') ?? {};
    expect(parametersSchema).toMatchObject({
      properties: { a: { type: 'string' }, b: { type: 'string', default: 'x' }, c: { type: 'string' } },
      required: ['a'],
    });
  });

  it('requires the interpreter of a script by itself', () => {
    const text = task('requires: {os: linux}\nrun: {script: {interpreter: python3, source: print()}}');
    expect(parsePack(Buffer.from(text), 'x').tasks.get('t')?.requires).toEqual({
      'interpreter.python3': '*',
      os: 'linux',
    });
  });

  it('may begin with a byte order mark, use Windows line ends, and name a value twice by an alias', () => {
    const text = task('requires: &r {os: linux}\nrun: {builtin: ping}\nexamples: []').replaceAll('\n', '\r\n');
    const pack = parsePack(Buffer.from(`\uFEFF${text}  u: {title: U, requires: *r, run: {builtin: ping}}\r\n`), 'x');
    expect(pack.tasks.get('u')?.requires).toEqual({ os: 'linux' });
  });
});

describe('a broken pack', () => {
  it('is refused with every problem, in the order of the file, each with its line and column', () => {
    const text = `apiVersion: openline.dev/v2
kind: Pack
metadata:
  name: demo
  version: '1.0'
  title: Demo
tasks:
  disk_usage:
    title: Disk usage
    timout: 30s
    risk: reed
    parameters:
      path: {type: string, default: x, pattern: '^/'}
      count: {type: integer, maxLength: 3}
    run:
      command: [df, {param: pth}]
`;
    expect(problems(text)).toEqual([
      "demo.yaml:1:13: 'apiVersion' must be openline.dev/v1",
      "demo.yaml:5:12: '1.0' is no semantic version, such as 1.4.0 or 2.0.0-rc.1",
      expect.stringMatching(/^demo\.yaml:8:3: 'disk_usage' is no name for a task: a to z/),
      "demo.yaml:10:5: unknown field 'timout' in task 'disk_usage'; did you mean 'timeout'?",
      "demo.yaml:11:11: 'risk' must be one of read, change, dangerous; did you mean 'read'?",
      "demo.yaml:14:30: 'maxLength' has no meaning for type integer; it is for string",
      "demo.yaml:16:29: the task has no parameter 'pth'; did you mean 'path'?",
    ]);
  });

  it('carries its problems as data too', () => {
    try {
      parsePack(Buffer.from('a: 1'), 'x.yaml');
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(PackError);
      if (!(error instanceof PackError)) return;
      expect(error.code).toBe('PACK_INVALID');
      expect(error.fileName).toBe('x.yaml');
      expect(error.issues[0]).toEqual({ line: 1, column: 1, message: "unknown field 'a' in the pack" });
      expect(error.issues).toHaveLength(5);
    }
  });

  it.each([
    ["default: x, pattern: '^/'", "'default' does not fit: parameter 'p' must match ^/"],
    ['enum: [a, 1]', "'enum' does not fit: parameter 'p' must be text (a JSON string)"],
    ["pattern: '(?=a)'", "'pattern' is no regular expression of RE2: invalid or unsupported Perl syntax: `(?=`"],
    ["pattern: '(a)\\1'", "'pattern' is no regular expression of RE2: invalid escape sequence: `\\1`"],
    ["pattern: '^a', maxLength: 100000", "'maxLength' is at most 65536 beside 'pattern'"],
    ['minLength: 3, maxLength: 2', "'minLength' is larger than 'maxLength': no value would fit"],
    ['maxLenght: 2', "unknown keyword 'maxLenght' in parameter 'p'; did you mean 'maxLength'?"],
    ['oneOf: []', "'oneOf' is not supported in a parameter; use one type, and check the rest in the task"],
    ['format: hostnam', "'format' must be one of hostname, host, ipv4, ipv6, uri; did you mean 'hostname'?"],
    [
      'default: "a\\0b"',
      "'default' does not fit: parameter 'p' contains a NUL character, which cannot be given to a process",
    ],
  ])('has a parameter {type: string, %s}', (keywords, message) => {
    const [problem] = problems(task(`parameters:\n  p: {type: string, ${keywords}}\nrun: {builtin: ping}`));
    expect(problem).toMatch(/^demo\.yaml:11:\d+: /);
    expect(problem?.replace(/^\S+ /, '')).toBe(message);
  });

  it('has a default deep inside that does not fit', () => {
    const schema = '{type: object, properties: {x: {type: integer, default: many}}}';
    expect(problems(task(`parameters:\n  p: ${schema}\nrun: {builtin: ping}`))).toEqual([
      "demo.yaml:11:66: 'default' does not fit: parameter 'p.x' must be a whole number",
    ]);
  });

  it('has an example that its own task would refuse', () => {
    const text = task(
      'parameters: {n: {type: integer, maximum: 3}}\nrun: {builtin: ping}\nexamples: [{title: E, parameters: {n: 4}}]',
    );
    expect(problems(text)).toEqual(["demo.yaml:12:16: this example would be refused: parameter 'n' must be at most 3"]);
  });

  it('has two parameters that would reach the process under one name', () => {
    const text = task('parameters:\n  body: {type: string}\n  body-file: {type: string}\nrun: {builtin: ping}');
    expect(problems(text)).toEqual([
      "demo.yaml:12:7: parameters 'body' and 'body-file' would share the environment variable OPENLINE_PARAM_BODY_FILE; rename one",
    ]);
  });

  it.each([
    ['a key that is there twice', 'a: 1\na: 2', /^demo\.yaml:2:1: this key is there twice in the same mapping$/],
    ['broken YAML', 'a: [1', /^demo\.yaml:1:6: this is not YAML as a pack may use it: flow sequence/],
    ['tabs', 'a:\n\tb: 1', /^demo\.yaml:2:1: .*tabs are not allowed/],
    ['a tag', 'a: !secret aaaa', /^demo\.yaml:1:4: .*unresolved tag/],
    ['another version of YAML', '%YAML 1.1\n---\na: yes', /^demo\.yaml:1:1: a pack is YAML 1\.2/],
    [
      'an alias of nothing',
      task('requires: *x\nrun: {builtin: ping}'),
      /^demo\.yaml:10:15: there is no anchor &x before this alias$/,
    ],
    ['nothing', '', /^demo\.yaml:1:1: a pack is a mapping/],
    ['only text', 'hello', /^demo\.yaml:1:1: a pack is a mapping/],
    [
      'two documents',
      `${task('run: {builtin: ping}')}---\nb: 1\n`,
      /^demo\.yaml:11:1: a second YAML document begins here/,
    ],
  ])('is %s', (_name, text, message) => {
    expect(problems(text)[0]).toMatch(message);
  });

  it('is not UTF-8', () => {
    const text = Buffer.concat([Buffer.from(`${HEAD}  # gr`), Buffer.from([0xfc]), Buffer.from('n\n')]);
    expect(problems(text)).toEqual(['demo.yaml:8:1: this line is not valid UTF-8; save the file in UTF-8']);
  });

  it('is too large', () => {
    expect(problems(Buffer.alloc(MAX_PACK_BYTES + 1, 0x20))[0]).toMatch(/a pack is at most 1048576$/);
  });
});

describe('a pack made to hurt', () => {
  const bomb = ['a: &a [x, x, x, x, x, x, x, x, x]'];
  for (let i = 0; i < 10; i++) {
    const [from, to] = ['abcdefghijk'[i], 'abcdefghijk'[i + 1]];
    bomb.push(`${to}: &${to} [${Array(9).fill(`*${from}`).join(', ')}]`);
  }

  it.each([
    ['an alias bomb', bomb.join('\n'), /aliases make the file grow without bound/],
    ['an alias of itself', 'a: &a [*a]', /aliases make the file grow without bound/],
    ['half a million brackets', '['.repeat(500_000), /nested more than 64 deep/],
    ['brackets that close', '['.repeat(2000) + ']'.repeat(2000), /nested more than 64 deep/],
    [
      'deep blocks',
      Array.from({ length: 1000 }, (_, i) => `${' '.repeat(i)}a:\n`).join(''),
      /nested more than 64 deep/,
    ],
    ['lists in lists', '- '.repeat(300_000), /nested more than 64 deep/],
    ['keys in keys', '? '.repeat(300_000), /nested more than 64 deep/],
    ['very many keys', Array.from({ length: 100_000 }, (_, i) => `k${i}: 1\n`).join(''), /more than 50000 tokens/],
    ['very many commas', `[${','.repeat(1_000_000)}`, /more than 50000 tokens/],
    ['very many documents', '---\n'.repeat(250_000), /more than 50000 tokens/],
    [
      'a schema in a schema in a schema',
      task(`parameters: {p: ${'{type: array, items: '.repeat(9)}{type: string}${'}'.repeat(9)}}\nrun: {builtin: ping}`),
      /schemas are nested more than 5 deep/,
    ],
  ])('is %s: refused by a bound, and not by how long it took', (_name, text, message) => {
    expect(problems(text).join('\n')).toMatch(message);
  });

  it('never does anything but parse or be refused', () => {
    const good = task('parameters: {p: {type: string, default: a}}\nrun: {command: [ls, {param: p}]}');
    const piece = fc.constantFrom(
      ...'[]{}:,-?&*!|>%@`"\'#\n \t',
      'a',
      '&a ',
      '*a',
      '<<: ',
      '!!map ',
      '\0',
      '😀',
      '---\n',
    );
    fc.assert(
      fc.property(fc.nat(good.length), fc.nat(10), fc.array(piece, { maxLength: 8 }), (at, cut, pieces) => {
        problems(good.slice(0, at) + pieces.join('') + good.slice(at + cut));
      }),
      { numRuns: 500 },
    );
  });
});
