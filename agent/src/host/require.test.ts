import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requireProgram } from './require.ts';
import { placed, type View, viewOf } from './view.ts';

const root = mkdtempSync(join(tmpdir(), 'openline-host-'));
/** A host whose namespaces tasks enter, as the agent sees its files. */
const full: View = { ...viewOf('full', '/host', true), root };
const check = (view: View, ...argv: string[]) => requireProgram(view, placed(view, argv, '/'), '/usr/sbin:/usr/bin');

beforeAll(() => {
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  writeFileSync(join(root, 'usr/bin/df'), '');
  chmodSync(join(root, 'usr/bin/df'), 0o755);
  symlinkSync('/usr/bin/elsewhere', join(root, 'usr/bin/link'));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('a program of the host', () => {
  it('is found by its name, its path, or a link whose end cannot be seen', () => {
    for (const program of ['df', '/usr/bin/df', 'link', '/usr/bin/link'])
      expect(() => check(full, program, '--', '-h')).not.toThrow();
  });
  it('that is not there is named, where nsenter would end with a 127 that nobody can tell from the program’s own', () => {
    for (const program of ['smartctl', '/usr/bin/smartctl'])
      expect(() => check(full, program, '--all')).toThrow(`${program} is not there on the host`);
  });
  it('in a folder that is a link of the host’s own is left to nsenter', () => {
    symlinkSync('/usr/bin', join(root, 'bin'));
    expect(() => check(full, '/bin/smartctl')).not.toThrow();
  });
  it('is not looked for where tasks run beside the agent: the start itself says it there', () => {
    expect(() => check(viewOf('none', '/host', false), 'smartctl')).not.toThrow();
  });
});
