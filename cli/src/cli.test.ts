import { describe, expect, it } from 'vitest';
import { nounBehind } from './args/meant.ts';
import { runCli } from './cli.ts';
import { buildProgram } from './program.ts';
import { testIo } from './testing/io.ts';

const GROUPS = buildProgram(testIo(), () => {}).commands.filter(({ commands }) => commands.length > 0);

describe('a noun alone', () => {
  it.each(GROUPS.map((group) => group.name()))(
    'openline %s lists, as kubectl’s users expect, and shows no help',
    async (noun) => {
      const io = testIo();
      await runCli([noun], io).catch((error: unknown) => io.err.write(String(error)));
      expect(io.out.text + io.err.text).not.toContain('Usage:');
      expect(io.out.text + io.err.text).toMatch(
        noun === 'context' ? /has no contexts/ : /no management server is named/,
      );
    },
  );
});

describe('words that are no command', () => {
  const said = async (line: string) => {
    const io = testIo();
    expect(await runCli(line.split(' '), io)).toBe(2);
    return io.err.text;
  };
  it.each([
    ['describe agent web-1', 'openline agents show web-1'],
    ['describe agents web-1 -o json', 'openline agents show web-1'],
    ['--server s:1 describe run 01a2', 'openline runs show 01a2'],
    ['show agents', 'openline agents list'],
    ['frobnicate agents x', 'openline agents --help'],
    ['nodes', 'openline agents'],
    ['alert 3', 'openline alerts show 3'],
    ['pack list', 'openline packs list'],
    ['token create x', 'openline tokens create x'],
    ['rm token t1', 'openline tokens revoke t1'],
    ['stop run 01a2', 'openline runs cancel 01a2'],
    ['ps', 'openline runs list'],
    ['agent web-1', 'openline agents show web-1'],
    ['agent list', 'openline agents list'],
    ['server status', 'openline doctor'],
    ['run list', 'openline runs list'],
    ['agents web-1', 'openline agents show web-1'],
    ['agents constructor', 'openline agents show constructor'],
    ['agents describe web-1', 'openline agents show web-1'],
    ['runs logs 01a2', 'openline runs output 01a2'],
  ])('«openline %s» is answered with «%s»', async (line, meant) => {
    expect(await said(line)).toContain(`\n→ Did you mean \`${meant}\`?`);
  });
  it('are not objects of an unknown kind, either', () => {
    const program = buildProgram(testIo(), () => {});
    expect(nounBehind(program, ['get', 'agents'])).toBe('openline agents list');
    expect(nounBehind(program, ['get', 'agent', 'web-1'])).toBe('openline agents show web-1');
    expect(nounBehind(program, ['delete', 'token', 't1'])).toBe('openline tokens revoke t1');
    expect(nounBehind(program, ['get', 'channels', 'mial'])).toBeUndefined();
  });
  it('that are nearly one are answered with that', async () => {
    expect(await said('alerts shw 1')).toContain(
      "unknown command 'shw' (Did you mean show?)\n→ See `openline alerts --help`.",
    );
    expect(await said('tokenz')).toContain("unknown command 'tokenz' (Did you mean tokens?)\n→ See `openline --help`.");
  });
});

describe('openline help', () => {
  it('is --help of what follows, however deep', async () => {
    const io = testIo();
    expect(await runCli(['help', 'agents', 'show'], io)).toBe(0);
    expect(io.out.text).toContain('Usage: openline agents show');
  });
});

describe('what is refused before the server is asked', () => {
  const refused = async (line: string[], env: Record<string, string> = {}) => {
    const io = testIo({ env: { OPENLINE_SERVER: 'localhost:1', ...env } });
    expect(await runCli(line, io)).toBe(2);
    return io.err.text;
  };
  it('names the help of the command, where there is nothing better to advise', async () => {
    expect(await refused(['runs', '-n', '0'])).toBe(
      'error [REQUEST_INVALID] --limit is not a whole number above 0\n→ See `openline runs --help`.\n',
    );
  });
  it.each([
    [['alerts', 'assign', '1', '--to', ''], '--to is empty'],
    [['context', 'set', '', '--server', 'x'], 'the name of the context is empty'],
    [['context', 'export', ' ', '--for', 'bob'], 'the name of the context is empty'],
    [['runs', '--task', 'linux'], '«linux» is not PACK/TASK'],
    [['trace', 'web-1', '--count', '1.5'], '--count is not a whole number above 0'],
    [['events', '--since', 'yesterday'], 'such as 2h, or from when on, such as 2026-01-02T03:04'],
    [['events', '--since', '2026-13-40'], '--since «2026-13-40» is no time'],
  ])('%j', async (line, problem) => {
    expect(await refused(line)).toContain(problem);
  });
});
