import { describe, expect, it } from 'vitest';
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

describe('a word behind a noun that is no command', () => {
  const said = async (...argv: string[]) => {
    const io = testIo();
    expect(await runCli(argv, io)).toBe(2);
    return io.err.text;
  };
  it('is answered with the one that was meant', async () => {
    expect(await said('alerts', 'shw', '1')).toContain("unknown command 'shw' (Did you mean show?)");
  });
  it('or with how to see the one thing of that name', async () => {
    expect(await said('agents', 'web-1')).toContain('`openline agents show web-1`');
  });
});
