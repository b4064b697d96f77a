import { describe, expect, it } from 'vitest';
import { ownSeenByTasks, placed, seenByTasks, viewOf } from './view.ts';

const none = viewOf('none', '/host', false);
const read = viewOf('read', '/host', true);
const full = viewOf('full', '/host', true);

describe('what a task sees', () => {
  it('is the machine, or the container that the agent is in', () => {
    expect([none.name, viewOf('none', '/host', true).name]).toEqual(['machine', 'container']);
    expect(none).toMatchObject({ root: '', env: { OPENLINE_HOST_ROOT: '', OPENLINE_HOST_PROC: '/proc' } });
  });

  it('of a host that it may read is below a root of its own, for the agent as for the task', () => {
    expect(read).toMatchObject({
      name: 'host-read',
      root: '/host',
      env: { OPENLINE_VIEW: 'host-read', OPENLINE_HOST_ROOT: '/host', OPENLINE_HOST_PROC: '/host/proc' },
    });
  });

  it('of a host whose namespaces it is in is where it always is; only the agent looks from elsewhere', () => {
    expect(full).toMatchObject({
      name: 'host',
      root: '/proc/1/root',
      env: { OPENLINE_VIEW: 'host', OPENLINE_HOST_ROOT: '', OPENLINE_HOST_PROC: '/proc' },
    });
  });
});

describe('a command line', () => {
  const argv = ['/bin/bash', '--', '-x', 'a b'];

  it('is left as it is where the task runs beside the agent', () => {
    expect(placed(none, argv, '/data/work/1')).toBe(argv);
    expect(placed(read, argv, '/data/work/1')).toBe(argv);
  });

  it('on the host is preceded by nsenter, which no argument of it can be taken for an option of', () => {
    expect(placed(full, argv, '/proc/1/root/run/openline/a/work/1')).toEqual([
      ...['/usr/bin/nsenter', '--target', '1', '--mount', '--uts', '--ipc', '--net'],
      ...['--wd=/proc/1/root/run/openline/a/work/1', '--', ...argv],
    ]);
  });

  it('enters no PID namespace, for which nsenter would fork and the process group be another', () => {
    expect(placed(full, argv, '/')).not.toContain('--pid');
  });
});

describe('a path', () => {
  it('below the root of the host is shorter for a task in it', () => {
    expect(seenByTasks(full, '/proc/1/root/run/openline/a')).toBe('/run/openline/a');
    expect(seenByTasks(full, '/proc/1/rootless')).toBe('/proc/1/rootless');
    expect(seenByTasks(read, '/data/work/1')).toBe('/data/work/1');
  });

  it('of the agent’s container leads through the agent’s process for a task on the host', () => {
    expect(ownSeenByTasks(full, '/data/events', 7)).toBe('/proc/7/root/data/events');
    expect(ownSeenByTasks(none, '/data/events', 7)).toBe('/data/events');
  });
});
