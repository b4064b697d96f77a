import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FormatOptions, toEventOf } from './format.ts';
import { levelOf } from './json.ts';

const NOW = new Date(2024, 0, 2, 12, 0, 0).getTime();
const PATH = '/var/log/shop.access.log';

const read = (line: string, more: Partial<FormatOptions> = {}, truncated = false) =>
  toEventOf({ format: 'plain', source: undefined, fields: {}, ...more })(line, PATH, NOW, truncated);
const syslog = (line: string) => read(line, { format: 'syslog', log: 'syslog' });
const json = (value: unknown, fields: FormatOptions['fields'] = {}) =>
  read(typeof value === 'string' ? value : JSON.stringify(value), { format: 'json', fields });

describe('a plain line', () => {
  it('is the message; its source is the file, or what is configured', () => {
    const event = {
      log: `file:${PATH}`,
      source: 'shop',
      id: '',
      level: 'info',
      atUnixMs: NOW,
      message: 'a b',
      data: {},
    };
    expect(read('a b')).toEqual(event);
    expect(read('a b', { source: 'web' })).toEqual({ ...event, source: 'web' });
  });

  it('that was longer is marked, also when it is the message that is cut', () => {
    expect(read('a', {}, true)).toMatchObject({ message: 'a', data: { truncated: true } });
    const long = read('x'.repeat(20_000));
    expect(long.message).toHaveLength(16_384);
    expect(long.data).toEqual({ truncated: true });
  });
});

describe('a syslog line', () => {
  it.each([
    [
      'as RFC 3164 has it',
      '<34>Oct 11 22:14:15 mymachine su[231]: failed for lonvick on /dev/pts/8',
      {
        source: 'su',
        level: 'critical',
        message: 'failed for lonvick on /dev/pts/8',
        data: { facility: 4, host: 'mymachine', pid: 231 },
        atUnixMs: new Date(2023, 9, 11, 22, 14, 15).getTime(),
      },
    ],
    [
      'as in /var/log/syslog, without a priority',
      'Jan  2 11:59:58 web-1 CRON[77]: (root) CMD (true)',
      {
        source: 'CRON',
        level: 'info',
        message: '(root) CMD (true)',
        data: { host: 'web-1', pid: 77 },
        atUnixMs: new Date(2024, 0, 2, 11, 59, 58).getTime(),
      },
    ],
    [
      'as rsyslog writes it by now',
      '2024-01-02T03:04:05.678901+02:00 web-1 systemd-logind: New seat seat0.',
      {
        source: 'systemd-logind',
        message: 'New seat seat0.',
        data: { host: 'web-1' },
        atUnixMs: Date.UTC(2024, 0, 2, 1, 4, 5, 678),
      },
    ],
    [
      'as RFC 5424 has it, with structured data',
      '<165>1 2003-10-11T22:14:15.003Z host.example evntslog 812 ID47 [ex@32473 iut="3" name="a \\"b\\" \\]"][x] \ufeffAn event',
      {
        source: 'evntslog',
        id: 'ID47',
        level: 'info',
        message: 'An event',
        atUnixMs: Date.UTC(2003, 9, 11, 22, 14, 15, 3),
        data: {
          facility: 20,
          host: 'host.example',
          pid: 812,
          structured: { 'ex@32473': { iut: '3', name: 'a "b" ]' }, x: {} },
        },
      },
    ],
    [
      'as RFC 5424 has it, with nothing known',
      '<0>1 - - - - - - hello',
      { source: 'shop', id: '', level: 'critical', message: 'hello', data: { facility: 0 }, atUnixMs: NOW },
    ],
    ['that no program is named in', 'Jan  2 11:59:58 web-1 -- MARK --', { source: 'shop', message: '-- MARK --' }],
    [
      'that continues another',
      '\tat Main.run(Main.java:7)',
      { source: 'shop', message: '\tat Main.run(Main.java:7)', atUnixMs: NOW },
    ],
    ['whose priority is none', '<999>Jan  2 11:59:58 h p: m', { message: '<999>Jan  2 11:59:58 h p: m' }],
    ['whose structured data do not end', '<0>1 - - - - - [a b="c" hello', { message: '<0>1 - - - - - [a b="c" hello' }],
  ])('%s', (_what, line, expected) => {
    expect(syslog(line)).toMatchObject(expected);
  });

  it('of any kind is read in no time, and never fails', () => {
    const part = fc.constantFrom('<13>', '1 ', '[a', ' b="', '\\', '"', ']', 'Jan  2 11:59:58 ', ' ', ': ', '-', 'x');
    fc.assert(
      fc.property(fc.array(fc.oneof(part, fc.string()), { maxLength: 200 }), (parts) => {
        expect(typeof syslog(parts.join('')).message).toBe('string');
      }),
    );
    const startMs = performance.now();
    for (const line of [`<1>1 - - - - - [a${' b="'.repeat(16_000)}`, `<1>1 - - - - - [a b="${'\\x'.repeat(30_000)}`])
      syslog(line);
    expect(performance.now() - startMs).toBeLessThan(10_000);
  });
});

describe('a line of JSON', () => {
  it('has what loggers usually write, and the rest is data', () => {
    expect(json({ time: '2024-01-02T03:04:05Z', level: 'WARN', logger: 'db', msg: 'slow', ms: 7, code: 12 })).toEqual({
      log: `file:${PATH}`,
      source: 'db',
      id: '12',
      level: 'warning',
      atUnixMs: Date.UTC(2024, 0, 2, 3, 4, 5),
      message: 'slow',
      data: { ms: 7 },
    });
  });

  it('has what is configured, also within objects', () => {
    const fields = { message: 'event.text', level: 'event.sev', time: 'at', source: 'app', id: 'event.kind' };
    const value = { event: { text: 'hi', sev: 3, kind: 'K1' }, at: 1_700_000_000.5, app: 'x', message: 'not this' };
    expect(json(value, fields)).toMatchObject({
      message: 'hi',
      level: 'error',
      atUnixMs: 1_700_000_000_500,
      source: 'x',
      id: 'K1',
      data: { event: { kind: 'K1' }, message: 'not this' },
    });
  });

  it.each([1_700_000_000, 1_700_000_000_000, 1_700_000_000_000_000, 1_700_000_000_000_000_000])(
    'knows the time %d by its size',
    (time) => {
      expect(json({ message: 'a', time }).atUnixMs).toBe(1_700_000_000_000);
    },
  );

  it.each(['no json', '{"a":1}', '[1]', '{"message":', '{"message":5}', '"text"'])(
    'that is none, such as %j, is the message',
    (line) => {
      expect(json(line)).toMatchObject({ message: line, data: {}, level: 'info', atUnixMs: NOW });
    },
  );

  it.each(['1e999', '-1', '0', '"soon"'])('with a time that is none, such as %s, is of now', (time) => {
    expect(json(`{"message":"a","time":${time}}`)).toMatchObject({ message: 'a', atUnixMs: NOW });
  });

  it('never fails', () => {
    fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), (line) => typeof json(line).message === 'string'));
  });

  it.each([
    ['trace', 'debug'],
    ['Information', 'info'],
    ['WARNING', 'warning'],
    ['err', 'error'],
    ['FATAL', 'critical'],
    [10, 'debug'],
    [30, 'info'],
    [40, 'warning'],
    [50, 'error'],
    [60, 'critical'],
    [7, 'debug'],
    [6, 'info'],
    [4, 'warning'],
    [3, 'error'],
    [0, 'critical'],
    [8, undefined],
    ['loud', undefined],
    ['constructor', undefined],
    [null, undefined],
  ])('calls the level %j %s', (level, expected) => {
    expect(levelOf(level)).toBe(expected);
  });
});
