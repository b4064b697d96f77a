import { execFileSync } from 'node:child_process';
import { OpenlineError } from '@openline/proto/errors';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Argument, Runner } from './pack.ts';
import { buildArgv, parameterEnvironment } from './process.ts';

function command(...args: Argument[]): Extract<Runner, { kind: 'command' }> {
  return { kind: 'command', program: 'prog', args };
}
const literal = (text: string): Argument => ({ kind: 'literal', text });
const parameter = (name: string): Argument => ({ kind: 'parameter', name });

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof OpenlineError) return error.code;
    throw error;
  }
  return 'none';
}

describe('parameters in the environment', () => {
  it('are strings as they are, and everything else as JSON', () => {
    const values = { path: '/a b', 'max-depth': 3, dry: false, hosts: ['a', 'b'], none: undefined, empty: '' };
    expect(parameterEnvironment(values)).toEqual({
      env: {
        OPENLINE_PARAM_PATH: '/a b',
        OPENLINE_PARAM_MAX_DEPTH: '3',
        OPENLINE_PARAM_DRY: 'false',
        OPENLINE_PARAM_HOSTS: '["a","b"]',
        OPENLINE_PARAM_EMPTY: '',
      },
      files: [],
    });
  });

  it('become files from 100 KiB on, counted in bytes and with their name', () => {
    const room = 100 * 1024 - 'OPENLINE_PARAM_BODY='.length;
    expect(parameterEnvironment({ body: 'x'.repeat(room) }).files).toEqual([]);
    const large = 'x'.repeat(room + 1);
    expect(parameterEnvironment({ body: large })).toEqual({
      env: {},
      files: [{ variable: 'OPENLINE_PARAM_BODY_FILE', content: large }],
    });
    expect(parameterEnvironment({ body: 'ü'.repeat(room / 2 + 1) }).files).toHaveLength(1);
  });

  it('are refused when all together are more than a process can be given', () => {
    const values = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`p${i}`, 'x'.repeat(99_000)]));
    expect(codeOf(() => parameterEnvironment(values))).toBe('ARGUMENT_TOO_LONG');
  });
});

describe('the arguments of a command', () => {
  it('are one for each parameter, one for each item of a list, and none for an absent parameter', () => {
    const runner = command(literal('-x'), parameter('a'), parameter('absent'), parameter('list'), literal(''));
    expect(buildArgv(runner, { a: 'one; two', list: ['p q', 3, true] })).toEqual([
      'prog',
      '-x',
      'one; two',
      'p q',
      '3',
      'true',
      '',
    ]);
    expect(buildArgv(command(parameter('list')), { list: [] })).toEqual(['prog']);
    expect(buildArgv(command(parameter('constructor')), {})).toEqual(['prog']);
  });

  it('are refused from 128 KiB on, one by one and all together', () => {
    expect(buildArgv(command(parameter('a')), { a: 'x'.repeat(131_071) })).toHaveLength(2);
    expect(codeOf(() => buildArgv(command(parameter('a')), { a: 'x'.repeat(131_072) }))).toBe('ARGUMENT_TOO_LONG');
    expect(codeOf(() => buildArgv(command(parameter('a')), { a: ['x', 'ü'.repeat(65_536)] }))).toBe(
      'ARGUMENT_TOO_LONG',
    );
    expect(codeOf(() => buildArgv(command(parameter('a')), { a: Array(10).fill('x'.repeat(100_000)) }))).toBe(
      'ARGUMENT_TOO_LONG',
    );
  });

  it('and the environment arrive in a real process unchanged, at their limits too', () => {
    const print = 'process.stdout.write(JSON.stringify([process.argv.slice(1), process.env.OPENLINE_PARAM_A ?? null]))';
    const receive = (value: string): unknown => {
      const [, ...args] = buildArgv(command(parameter('a')), { a: value });
      const { env } = parameterEnvironment({ a: value });
      const options = {
        env: { ...env, LC_ALL: 'C.UTF-8' },
        encoding: 'utf8',
        maxBuffer: 1 << 20,
        timeout: 10_000,
      } as const;
      return JSON.parse(execFileSync(process.execPath, ['-e', print, '--', ...args], options));
    };
    const value = fc.sample(fc.string({ unit: 'binary', maxLength: 500 }), 8).map((s) => s.replaceAll('\0', ''));
    for (const text of [...value, `a'b"c $(id) \`id\` \n\t\r \\ * ~ 😀`, '-n', 'x'.repeat(100_000)]) {
      expect(receive(text)).toEqual([[text], text]);
    }
    expect(receive('x'.repeat(131_071))).toEqual([['x'.repeat(131_071)], null]);
  });
});
