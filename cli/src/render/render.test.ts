import { ERRORS, OpenlineError } from '@openline/proto/errors';
import { describe, expect, it } from 'vitest';
import manifest from '../../package.json' with { type: 'json' };
import { exitCodeOf, renderFailure, usageError } from '../failure.ts';
import { wantsColor } from '../io.ts';
import { VERSION } from '../version.ts';
import { renderTable } from './table.ts';
import { fit, formatBytes, formatCount, printable, widthOf } from './text.ts';
import { formatAge, formatDuration } from './time.ts';

describe('times', () => {
  it('are coarse for people', () => {
    const ago = (seconds: number) => formatAge(0, seconds * 1000);
    expect([
      ago(0),
      ago(5),
      ago(90),
      ago(600),
      ago(11_400),
      ago(86_400 * 12),
      formatAge(60_000, 0),
      formatAge(null, 0),
    ]).toEqual(['now', '5s ago', '1m30s ago', '10m ago', '3h10m ago', '12d ago', 'in 1m', '-']);
  });
  it('are exact where they are short', () => {
    expect([8, 999, 1_234, 59_940, 59_960, 65_000, 7_380_000].map(formatDuration)).toEqual([
      '8ms',
      '999ms',
      '1.2s',
      '59.9s',
      '1m00s',
      '1m05s',
      '2h03m',
    ]);
  });
});

describe('text', () => {
  it('counts columns as terminals do', () => {
    expect([widthOf('abc'), widthOf('日本'), widthOf('\x1b[31mred\x1b[0m')]).toEqual([3, 4, 3]);
    expect(fit('日本語テキスト', 7)).toBe('日本語…');
    expect(fit('abc', 3)).toBe('abc');
  });
  it('from elsewhere cannot steer the terminal', () => {
    expect(printable('a\x1b[2Jb\nc\u202e')).toBe('a�[2Jb c�');
  });
  it('groups and scales numbers', () => {
    expect([formatCount(1_234_567), formatBytes(1023), formatBytes(1536), formatBytes(8 << 20)]).toEqual([
      '1,234,567',
      '1023 B',
      '1.5 KiB',
      '8.0 MiB',
    ]);
  });
});

describe('a table', () => {
  it('gives way where it may when the terminal is narrow', () => {
    const columns = [
      { title: 'ID', cell: () => '0123456789' },
      { title: 'NOTE', cell: () => 'a very long note indeed', shrinks: true },
    ];
    expect(renderTable(columns, [{}], 25)).toEqual(['ID           NOTE', '0123456789   a very long…']);
    // Where not even the narrowest fits, the beginning stays readable.
    const more = [...columns, { title: 'BY', cell: () => 'somebody', shrinks: true }, ...columns];
    expect(renderTable(more, [{}], 36)[1]).toBe('0123456789   a very long note in…  …');
    expect(renderTable(columns, [{}], Number.POSITIVE_INFINITY)[1]).toBe('0123456789   a very long note indeed');
  });
});

describe('colours', () => {
  it('are for terminals, unless NO_COLOR or FORCE_COLOR say otherwise', () => {
    expect(wantsColor({}, true)).toBe(true);
    expect(wantsColor({}, false)).toBe(false);
    expect(wantsColor({ NO_COLOR: '1', FORCE_COLOR: '1' }, true)).toBe(false);
    expect(wantsColor({ NO_COLOR: '' }, true)).toBe(true);
    expect(wantsColor({ FORCE_COLOR: '1' }, false)).toBe(true);
    expect(wantsColor({ TERM: 'dumb' }, true)).toBe(false);
  });
});

describe('a failure', () => {
  it('is what happened, and what to do', () => {
    expect(renderFailure(new OpenlineError('RUN_UNKNOWN', 'there is no run 7'), { color: false })).toEqual([
      'error [RUN_UNKNOWN] there is no run 7',
      `→ ${ERRORS.RUN_UNKNOWN.doNext}`,
    ]);
  });
  it('is 2 when asking again the same way cannot help, 1 when it may', () => {
    expect(exitCodeOf(usageError('x'))).toBe(2);
    expect(exitCodeOf(new OpenlineError('SERVER_UNREACHABLE', 'x'))).toBe(1);
    expect(exitCodeOf(new Error('x'))).toBe(1);
  });
});

it('the version is the package’s', () => {
  expect(VERSION).toBe(manifest.version);
});
