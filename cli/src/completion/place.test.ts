import { describe, expect, it } from 'vitest';
import { buildProgram } from '../program.ts';
import { testIo } from '../testing/io.ts';
import { placeOf, type Wanted } from './place.ts';

const place = (...words: string[]) =>
  placeOf(
    words,
    buildProgram(testIo(), () => {}),
  );
const source = (kind: string, more: object = {}) => ({ kind: 'source', source: { kind, ...more } });
const files: Wanted = { kind: 'files' };
const nothing: Wanted = { kind: 'nothing' };

describe('the word under the cursor', () => {
  it.each([
    [['run', ''], source('tasks')],
    [['run', 'linux/uptime', '--on', ''], source('targets')],
    [['run', '--on', 'all', ''], source('tasks')],
    [['run', 'linux/uptime', '--param', ''], source('parameters', { task: 'linux/uptime' })],
    [['run', 'linux/uptime', '--param-from', 'pa'], source('parameters', { task: 'linux/uptime' })],
    [['run', 'linux/uptime', '--param-from', 'path=la'], source('properties')],
    [['run', '--on', 'all', 'linux/uptime', '-p', 'pa'], source('parameters', { task: 'linux/uptime' })],
    [['run', 'linux/uptime', '-p', 'path=/'], nothing],
    [['run', 'linux/uptime', ''], nothing],
    [['runs', 'watch', ''], source('runs')],
    [['runs', 'output', 'some-run', '-t', ''], source('agents')],
    [['--context', 'prod', 'agents', 'show', 'w'], source('agents')],
    [['-v', 'trace', ''], source('agents')],
    [['packs', 'show', ''], source('tasks')],
    [['context', 'use', ''], source('contexts')],
    [['--context', ''], source('contexts')],
    [['completion', ''], source('shells')],
    [['alerts', 'ack', '1042', ''], source('alerts')],
    [['alerts', 'list', '--by', ''], source('watches')],
    [['notifications', 'list', '--alert', ''], source('alerts')],
    [['alerts', '--by', ''], source('watches')],
    [['health', 'list', ''], source('agents')],
    [['monitors', 'reset', '--agent', ''], source('agents')],
    [['monitors', 'reset', ''], source('watches')],
    [['rules', 'explain', ''], source('watches')],
    [['maintenance', 'start', '--on', ''], source('targets')],
    [['maintenance', 'end', ''], source('maintenances')],
    [['get', ''], source('kinds')],
    [['delete', 'channels', ''], source('declared', { of: 'channels' })],
    [['delete', 'channels', 'mail', ''], source('declared', { of: 'channels' })],
    [['packs', 'push', ''], files],
    [['packs', 'push', 'one.yaml', 't'], files],
    [['packs', 'push', '--key', ''], files],
    [['packs', 'verify', '--public-key', ''], files],
    [['packs', 'pull', '--dir', ''], files],
    [['run', '--params-file', ''], files],
    [['run', '--ca=x'], files],
    [['apply', '-f', ''], files],
    [['server', '--config', ''], files],
    [['runs', 'list', '--limit', ''], nothing],
    [['run', '--unknown', ''], source('tasks')],
    [['whoami', ''], nothing],
  ])('of %j', (words, wanted) => expect(place(...words).wanted).toEqual(wanted));

  it('may be a command, a flag, or a word that a flag takes', () => {
    const values = (...words: string[]) => {
      const { wanted } = place(...words);
      return wanted.kind === 'words' ? wanted.words.map(({ value }) => value) : wanted.kind;
    };
    expect(values('')).toEqual(expect.arrayContaining(['run', 'runs', 'packs']));
    expect(values('runs', 's')).toEqual(['list', 'show', 'watch', 'output', 'cancel', 'retry']);
    expect(values('run', '--')).toEqual(expect.arrayContaining(['--on', '--param', '--server']));
    expect(values('whoami', '-')).not.toContain('--on');
    expect(values('server', '--')).toEqual(['--help']);
    expect(values('run', '-o', '')).toEqual(['table', 'json', 'yaml', 'jsonl']);
    expect(values('run', '--', '-')).toBe('source');
    expect(values('alerts', '--')).toEqual(expect.arrayContaining(['--watch', '--severity', '--server']));
    expect(values('alerts', '--state', 'new,')).toEqual(['open', 'acknowledged', 'closed', 'all']);
    expect(values('notifications', 'list', '--state=d')).toContain('dead');
    expect(values('alerts', 'show', '--')).not.toContain('--severity');
  });

  it('keeps what stands before the part that is completed', () => {
    expect(place('run', '--on=ro').before).toBe('--on=');
    expect(place('alerts', 'list', '--severity=warning,c').before).toBe('--severity=warning,');
    expect(place('run', '--on', 'role=web,na').before).toBe('role=web,');
    expect(place('run', '--on=role=web,na').before).toBe('--on=role=web,');
    expect(place('run', '--on', 'role in (web,d').before).toBe('role in (web,d');
    expect(place('run', 'linux/shell', '--param-file', 'script=/e')).toMatchObject({
      wanted: files,
      before: 'script=',
    });
  });

  it('is asked of the server that the line names', () => {
    expect(place('--context', 'prod', 'run', '--server=there:5724', '').connection).toEqual({
      context: 'prod',
      server: 'there:5724',
    });
  });
});
