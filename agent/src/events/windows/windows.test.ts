import { spawn } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { read, testDeps } from '../testing/scratch.ts';
import { parseSaid } from './record.ts';
import { createWindowsSource } from './source.ts';

/** A record as Get-WinEvent gives it; this was written by hand, and never came from Windows. */
const record = (number: number, more: object = {}) =>
  JSON.stringify({
    record: number,
    provider: 'MsiInstaller',
    id: 1033,
    level: 3,
    at: '2024-01-02T03:04:05.1234567Z',
    message: 'Grüße',
    computer: 'pc',
    values: ['a', 7],
    ...more,
  });

/** What the script would say. @param started is told from where on, each time */
function source(script: string, started: number[] = []) {
  return createWindowsSource(testDeps, {
    start(after) {
      started.push(after);
      return spawn('sh', ['-c', script], { stdio: ['ignore', 'pipe', 'pipe'] });
    },
  });
}

describe('the Application log of Windows, as far as that can be tried elsewhere', () => {
  it('has records with a level, an id and the values of their provider', () => {
    expect(parseSaid(record(7))).toEqual({
      kind: 'event',
      record: 7,
      event: {
        log: 'windows',
        source: 'MsiInstaller',
        id: '1033',
        level: 'warning',
        atUnixMs: Date.UTC(2024, 0, 2, 3, 4, 5, 123),
        message: 'Grüße',
        data: { record: 7, computer: 'pc', values: ['a', '7'] },
      },
    });
    for (const line of ['', 'x', '[]', '{"record":1}', record(1, { at: 'soon' })])
      expect(parseSaid(line)).toBeUndefined();
  });

  it('is read from now on, and then from the last record on; that it was emptied is told', async () => {
    const started: number[] = [];
    const script = `echo '{"end":5}'; echo '${record(6)}'; echo '{"emptied":true}'; echo '${record(1)}'; echo gone >&2; exit 1`;
    const sink = read(source(script, started));
    await sink.until(() => sink.faults.length > 0);
    expect(
      sink
        .events()
        .slice(0, 2)
        .map(({ data }) => data['record']),
    ).toEqual([6, 1]);
    expect(sink.gaps[0]).toEqual({ events: 0, reason: 'the log was emptied' });
    expect(sink.faults[0]).toBe('the Application log cannot be read: PowerShell: gone');
    await sink.until(() => started.length > 1);
    expect(started.slice(0, 2)).toEqual([-1, 1]);
  });
});
