import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SCRIPTS } from './scripts.ts';

const has = (program: string) => spawnSync(program, ['--version']).error === undefined;

/** Answers `complete` as openline does, and otherwise writes down what it was called with. */
const STUB = `#!/bin/sh
if [ "$1" != complete ]; then
  for word; do printf '[%s]' "$word"; done >> "$STUB_LOG"
  echo >> "$STUB_LOG"
  exit
fi
shift 2
before=
for word; do last=$before; before=$word; done
for each in role=web --on=role=web 'site=$(touch label)' linux/disk-usage; do
  case $each in "$word"*) printf '%s\\tdescribed\\n' "$each" ;; esac
done
if [ "$last" = --params-file ]; then echo :files; else echo :done; fi
`;

const START: Record<keyof typeof SCRIPTS, string> = {
  bash: 'bash --norc --noprofile -i',
  zsh: 'zsh -f -i',
  fish: 'fish --no-config -i',
};

// script(1) gives them a terminal, without which no shell completes anything.
describe.runIf(process.platform === 'linux' && has('script'))('the completion of', () => {
  for (const shell of ['bash', 'zsh', 'fish'] as const) {
    describe.runIf(has(shell))(`a real ${shell}`, () => {
      let dir: string;
      let type: (keys: string) => Promise<string>;
      let end: () => Promise<unknown>;

      beforeAll(async () => {
        dir = mkdtempSync(join(tmpdir(), 'openline-tab-'));
        mkdirSync(join(dir, 'bin'));
        writeFileSync(join(dir, 'bin', 'openline'), STUB);
        chmodSync(join(dir, 'bin', 'openline'), 0o755);
        writeFileSync(join(dir, 'completion'), SCRIPTS[shell]);
        writeFileSync(join(dir, 'a plain.yaml'), '');
        const log = join(dir, 'log');
        const child = spawn('script', ['-q', '-e', '-c', START[shell], '/dev/null'], {
          cwd: dir,
          env: {
            PATH: `${join(dir, 'bin')}:/usr/bin:/bin`,
            HOME: dir,
            TERM: 'dumb',
            LANG: 'C.UTF-8',
            STUB_LOG: log,
          },
          stdio: ['pipe', 'ignore', 'ignore'],
          timeout: 30_000,
        });
        const exited = once(child, 'exit');
        let lines = 0;
        type = async (keys) => {
          child.stdin.write(keys);
          lines += 1;
          for (;;) {
            const written = existsSync(log) ? readFileSync(log, 'utf8').split('\n').slice(0, -1) : [];
            if (written.length >= lines) return written[lines - 1] ?? '';
            if (child.exitCode !== null) throw new Error(`${shell} ended`);
            await new Promise((resolve) => setTimeout(resolve, 20));
          }
        };
        end = () => {
          child.stdin.end('exit\n');
          return exited;
        };
        expect(await type('source ./completion; openline ready\n')).toBe('[ready]');
      }, 30_000);
      afterAll(async () => {
        await end();
        rmSync(dir, { recursive: true, force: true });
      });

      it('ends a word, also one with an equals sign in it', async () => {
        expect(await type('openline run linux/di\t\n')).toBe('[run][linux/disk-usage]');
        expect(await type('openline run x --on role=w\t\n')).toBe('[run][x][--on][role=web]');
        expect(await type('openline run x --on=role=w\t\n')).toBe('[run][x][--on=role=web]');
      });

      it('puts quotes around what the shell would take for its own, and runs nothing of it', async () => {
        expect(await type('openline run x --on site\t\n')).toBe('[run][x][--on][site=$(touch label)]');
        expect(existsSync(join(dir, 'label'))).toBe(false);
      });

      it('runs nothing of the line', async () => {
        expect(await type('openline run -p $(touch typed) --on ro\t\x15openline next\n')).toBe('[next]');
        expect(existsSync(join(dir, 'typed'))).toBe(false);
      });

      it('completes names of files where files are meant', async () => {
        expect(await type('openline run --params-file a\t\n')).toBe('[run][--params-file][a plain.yaml]');
      });
    });
  }
});
