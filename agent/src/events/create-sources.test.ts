import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { viewOf } from '../host/view.ts';
import { chooseLogs, createSources, createSyslogSource, type Here } from './create-sources.ts';
import { read, scratchDir, testDeps } from './testing/scratch.ts';

const NOTHING: Here = { journal: false, syslog: false, kernel: false, kubernetes: false, windows: false };
const choose = (named: Parameters<typeof chooseLogs>[0], here: Partial<Here> = {}) =>
  [...chooseLogs(named, () => ({ ...NOTHING, ...here }))].sort();

describe('the logs that an agent reads', () => {
  it('are by default those that are there, and its own', () => {
    expect(choose(['auto'])).toEqual(['agent']);
    expect(choose(['auto'], { journal: true, kernel: true })).toEqual(['agent', 'journal', 'kernel']);
    expect(choose(['auto'], { syslog: true, kubernetes: true })).toEqual(['agent', 'kubernetes', 'syslog']);
    expect(choose(['auto'], { windows: true })).toEqual(['agent', 'windows']);
  });

  it('are the journal and not the same messages once more from the files of syslog, unless both are named', () => {
    expect(choose(['auto'], { journal: true, syslog: true })).toEqual(['agent', 'journal']);
    expect(choose(['auto', 'syslog'], { journal: true, syslog: true })).toEqual(['agent', 'journal', 'syslog']);
  });

  it('are only those that are named, whether they are there or not', () => {
    const unasked = () => expect.fail('nobody asked what is there');
    expect([...chooseLogs(['agent'], unasked)]).toEqual(['agent']);
    expect(choose(['journal'], { kernel: true })).toEqual(['agent', 'journal']);
  });

  it('have names of their own, by which positions are kept', () => {
    const file = { format: 'plain', encoding: 'utf-8', source: undefined, fields: {} } as const;
    const files = [
      { ...file, path: '/a' },
      { ...file, path: '/b/*' },
    ];
    const config = { directory: '/e', group: undefined, nodeName: 'n', kubernetesApi: { host: 'h', port: 1 } };
    const sources = createSources(
      { ...config, sources: ['journal', 'syslog', 'kernel', 'kubernetes'], files },
      viewOf('none', '', false),
      testDeps,
    );
    expect(sources.map(({ log }) => log)).toEqual([
      ...['agent', 'journal', 'syslog', 'kernel', 'kubernetes'],
      ...['file:/a', 'file:/b/*'],
    ]);
  });

  it('tell what the kernel said once, where syslog and the kernel are both read', async () => {
    const file = join(scratchDir(), 'syslog');
    writeFileSync(file, '');
    const sink = read(createSyslogSource(testDeps, true, [file]));
    await sink.until(() => sink.position() !== undefined);
    writeFileSync(file, '<3>Jan  2 03:04:05 h kernel: [1.0] Out of memory\n<3>Jan  2 03:04:05 h cron[7]: failed\n');
    await sink.until(() => sink.events().length > 0);
    expect(sink.events().map(({ log, source }) => [log, source])).toEqual([['syslog', 'cron']]);
  });
});
