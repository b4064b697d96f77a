import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dataDirOf, isAlive, parsePidFile } from './postmaster.ts';

const FILE = '4711\n/data\n1900000000\n43210\n\n127.0.0.1\n  1234567   8\nready   \n';

describe('postmaster.pid', () => {
  it('says who runs, on which port, and whether it takes connections', () => {
    expect(parsePidFile(FILE)).toEqual({ pid: 4711, port: 43_210, status: 'ready' });
    expect(parsePidFile(FILE.replace('ready', 'stopping'))?.status).toBe('stopping');
    expect(parsePidFile(FILE.replace('ready', 'standby'))?.status).toBe('starting');
  });

  it('may be read while it is being written: every beginning of it is nothing, or a PostgreSQL that starts', () => {
    fc.assert(
      fc.property(fc.nat({ max: FILE.indexOf('ready') }), (length) => {
        const found = parsePidFile(FILE.slice(0, length));
        if (found !== undefined) expect(found.status).toBe('starting');
      }),
    );
  });

  it('may hold anything', () => {
    fc.assert(fc.property(fc.string(), (text) => void parsePidFile(text)));
    expect(parsePidFile('-1\n')).toBeUndefined();
  });
});

describe('a command line', () => {
  const line = (...args: string[]) => args.map((arg) => `${arg}\0`).join('');
  it.each([
    ['PostgreSQL', line('/native/bin/postgres', '-D', '/data', '-p', '5432'), '/data'],
    [
      'PostgreSQL under an emulator',
      line('/usr/bin/qemu-aarch64', '/bin/postgres', '/bin/postgres', '-D', '/data'),
      '/data',
    ],
    ['another program with that option', line('/usr/bin/tar', '-D', '/postgres'), undefined],
    ['PostgreSQL without a directory', line('postgres', '--version'), undefined],
    ['a thread of the kernel', '', undefined],
  ])('of %s', (_title, commandLine, directory) => {
    expect(dataDirOf(commandLine)).toBe(directory);
  });
});

it('a process that does not exist is not alive, and this one is', () => {
  expect(isAlive(2 ** 30)).toBe(false);
  expect(isAlive(process.pid)).toBe(true);
});
