import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { canRunJournald, startJournald } from '../testing/journald.ts';
import { read, scratchDir, testDeps } from '../testing/scratch.ts';
import { testSink } from '../testing/sink.ts';
import { entriesBetween, parseJournalEntry } from './entry.ts';
import { createJournalSource, type JournalConfig } from './source.ts';

const source = (config: Partial<JournalConfig>) => createJournalSource(testDeps, { withoutKernel: true, ...config });

const entry = (fields: Record<string, unknown>) =>
  JSON.stringify({ __CURSOR: 's=a;i=1;b=b', __REALTIME_TIMESTAMP: '1700000000123456', ...fields });

describe('an entry of the journal', () => {
  const parse = (fields: Record<string, unknown>) => parseJournalEntry(entry(fields));

  it('has the source, level, id and time that the journal knows, and the fields of its writer', () => {
    const fields = {
      MESSAGE: 'Failed to start x.service.',
      PRIORITY: '3',
      SYSLOG_IDENTIFIER: 'systemd',
      MESSAGE_ID: 'be02cf6855d2428ba40df7e9d022f03d',
      UNIT: 'x.service',
      _PID: '1',
      _SYSTEMD_UNIT: 'init.scope',
      _CAP_EFFECTIVE: '1ff',
    };
    expect(parse(fields)).toEqual({
      cursor: 's=a;i=1;b=b',
      isKernel: false,
      event: {
        log: 'journal',
        source: 'systemd',
        id: 'be02cf6855d2428ba40df7e9d022f03d',
        level: 'error',
        atUnixMs: 1_700_000_000_123,
        message: 'Failed to start x.service.',
        data: { unit: 'x.service', pid: 1, systemd_unit: 'init.scope' },
      },
    });
  });

  it('is named after its unit or its command, where it has no name', () => {
    expect(parse({ _SYSTEMD_UNIT: 'a.service', _COMM: 'b' })?.event.source).toBe('a.service');
    expect(parse({ _COMM: 'b' })?.event).toMatchObject({ source: 'b', level: 'info', message: '' });
  });

  it('may have bytes, several values, or none', () => {
    const event = parse({
      MESSAGE: [...Buffer.from('\x1b[1mwörld')],
      A: ['x', 'y'],
      B: null,
      C: [[104, 105], 'z'],
    })?.event;
    expect(event).toMatchObject({ message: '\x1b[1mwörld', data: { a: 'x', c: 'hi' } });
  });

  it('is of the kernel when it says so, and no entry when it is not whole', () => {
    expect(parse({ _TRANSPORT: 'kernel' })?.isKernel).toBe(true);
    for (const line of ['-- No entries --', '{"MESSAGE":"a"}', '[]', '{"__CURSOR":"a"'])
      expect(parseJournalEntry(line)).toBeUndefined();
  });

  it('is numbered: what is missing between two of one row was removed', () => {
    expect(entriesBetween('s=a;i=9;b=1;m=2', 's=a;i=b;b=1;m=3')).toBe(1);
    expect(entriesBetween('s=a;i=9;b=1', 's=a;i=a;b=1')).toBe(0);
    expect(entriesBetween('s=a;i=9;b=1', 's=a;i=ff;b=2')).toBe(0);
    expect(entriesBetween('s=a;i=9;b=1', 's=c;i=ff;b=1')).toBe(0);
    expect(entriesBetween('nonsense', 's=a;i=9;b=1')).toBe(0);
  });
});

/** A journalctl that says what a test wants: for --show-cursor `cursor`, and for --follow what `follow` does, a script. */
function fakeJournalctl(follow: string, cursor = 's=a;i=1;b=b') {
  const directory = scratchDir();
  const program = join(directory, 'journalctl');
  const script = `#!/bin/sh
echo "$@" >> ${directory}/calls
case "$*" in
*--show-cursor*) echo "-- cursor: ${cursor}";;
*) ${follow} ;;
esac
`;
  writeFileSync(program, script);
  chmodSync(program, 0o755);
  return {
    command: [program] as const,
    calls: () => readFileSync(join(directory, 'calls'), 'utf8').trim().split('\n'),
  };
}

const numbered = (number: number, more: object = {}) =>
  entry({ __CURSOR: `s=a;i=${number.toString(16)};b=b`, MESSAGE: `m${number}`, ...more });

describe('the journal by journalctl', () => {
  it('is read from now on, and after an end of journalctl from the last entry on', async () => {
    const lines = `echo '${numbered(2)}'; echo '${numbered(3, { _TRANSPORT: 'kernel' })}'; echo 'gone' >&2; exit 1`;
    const { command, calls } = fakeJournalctl(lines);
    const sink = read(source({ command }));
    await sink.until(() => sink.faults.length > 0);
    expect(new Set(sink.messages())).toEqual(new Set(['m2']));
    expect(sink.faults[0]).toBe('the journal cannot be read: journalctl: gone');
    await vi.waitFor(() => expect(calls().length).toBeGreaterThanOrEqual(3));
    expect(calls()[1]).toContain('--after-cursor=s=a;i=1;b=b');
    expect(calls()[2]).toContain('--after-cursor=s=a;i=3;b=b');
  });

  it('has the kernel’s messages where nothing else reads them', async () => {
    const { command } = fakeJournalctl(`echo '${numbered(2, { _TRANSPORT: 'kernel' })}'; exec sleep 60`);
    const sink = read(source({ command, withoutKernel: false }));
    await sink.untilEvents(1);
  });

  it('knows what was removed before it was read, and what was too long', async () => {
    const long = `printf '%s' '${numbered(8).slice(0, -2)}'; head -c 300000 /dev/zero | tr '\\0' x; echo '"}'`;
    const { command } = fakeJournalctl(`echo '${numbered(7)}'; ${long}; echo '${numbered(9)}'; exec sleep 60`);
    const sink = read(source({ command }), '{"cursor":"s=a;i=1;b=b"}');
    await sink.untilEvents(2);
    expect(sink.messages()).toEqual(['m7', 'm9']);
    expect(sink.gaps.map(({ events }) => events)).toEqual([5, 1]);
  });

  it('begins anew, and says so, where its place is none any more', async () => {
    const { command, calls } = fakeJournalctl(
      `case "$*" in *i=99*) echo 'Failed to seek to cursor: Invalid argument' >&2; exit 1;; *) exec sleep 60;; esac`,
    );
    const sink = read(source({ command }), '{"cursor":"i=99"}');
    await sink.until(() => sink.batches.length > 0);
    await vi.waitFor(() => expect(calls().join()).toContain('--after-cursor=s=a;i=1;b=b'));
    expect(sink.gaps).toEqual([{ events: 0, reason: 'where it was read up to is not known any more' }]);
  });

  it('that shows only one’s own messages is a fault, and is read all the same', async () => {
    const hint = 'Hint: You are currently not seeing messages from other users and the system.';
    const { command } = fakeJournalctl(`echo '${hint}' >&2; echo '${numbered(2)}'; exec sleep 60`);
    const sink = read(source({ command }));
    await sink.untilEvents(1);
    await sink.until(() => sink.faults.length > 0);
    expect(sink.faults[0]).toContain('systemd-journal');
  });

  it('without a journalctl is a fault', async () => {
    const sink = read(source({ command: ['/nonexistent/journalctl'] }));
    await sink.until(() => sink.faults.length > 0);
    expect(sink.faults[0]).toContain('there is no journalctl here');
  });
});

describe.skipIf(!canRunJournald())('a real journal', () => {
  const SOCKET = '--socket /run/systemd/journal/dev-log';
  const logger = (message: string, priority = 'user.info') =>
    `logger ${SOCKET} --tag test --priority ${priority} '${message}'`;

  it('is read entry by entry, each once, over restarts of the agent, also where it was rotated', async () => {
    const journal = await startJournald(scratchDir());
    const { directory } = journal;
    await journal.run(logger('history'));
    const first = testSink();
    const one = source({ directory });
    one.start(undefined, first);
    await first.until(() => first.position() !== undefined);
    await journal.run(logger('first', 'user.err'));
    await first.until(() => first.messages().includes('first'));
    await one.stop();
    expect(first.messages()).not.toContain('history');
    expect(first.events().find(({ message }) => message === 'first')).toMatchObject({ source: 'test', level: 'error' });
    await journal.run(logger('while it was away'));
    await journal.run('kill -USR2 $journald');
    await journal.run(logger('in the next file'));
    await journal.run(
      'printf "MESSAGE=structured\\nPRIORITY=2\\nMESSAGE_ID=fc2e22bc6ee647b6b90729ab34a250b1\\nSHOP=7\\n" | logger --journald',
    );
    const again = read(source({ directory }), first.position());
    await again.until(() => again.messages().includes('structured'));
    const ours = again.messages().filter((message) => /away|next|structured|first/.test(message));
    // Two sockets, which journald reads in any order.
    expect(ours.sort()).toEqual(['in the next file', 'structured', 'while it was away']);
    expect(again.events().find(({ message }) => message === 'structured')).toMatchObject({
      id: 'fc2e22bc6ee647b6b90729ab34a250b1',
      level: 'critical',
      data: { shop: '7' },
    });
    expect(again.gaps).toEqual([]);
  }, 60_000);

  it('that was vacuumed while nobody read is known to the entry', async () => {
    const journal = await startJournald(scratchDir());
    const { directory } = journal;
    const first = testSink();
    const one = source({ directory });
    one.start(undefined, first);
    await first.until(() => first.position() !== undefined);
    await journal.run(logger('seen'));
    await first.until(() => first.messages().includes('seen'));
    await one.stop();
    const seen = first.events().length;
    await journal.run(`seq -f "lost %.0f" 500 | logger ${SOCKET} --tag test`);
    await journal.run('journalctl --rotate');
    await journal.run('journalctl --vacuum-files=1 --quiet');
    await journal.run(logger('kept'));
    const again = read(source({ directory }), first.position());
    await again.until(() => again.messages().includes('kept'));
    const lost = again.gaps.reduce((sum, gap) => sum + gap.events, 0);
    const read500 = again.messages().filter((message) => message.startsWith('lost')).length;
    expect(seen).toBeGreaterThan(0);
    expect(read500).toBe(0);
    expect(lost).toBeGreaterThanOrEqual(500);
    expect(lost).toBeLessThan(520);
  }, 60_000);
});
