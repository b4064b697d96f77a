import { homedir } from 'node:os';
import { isatty } from 'node:tty';

/** What can be drawn where. */
export interface Screen {
  readonly isTTY: boolean;
  /** Characters in a line; Infinity when it is not a terminal. */
  readonly columns: number;
  readonly rows: number;
  readonly color: boolean;
}

export interface Out {
  screen(): Screen;
  write(data: string | Uint8Array): void;
  /** Resolves once everything written has left the process: a slow reader slows us, and no memory grows. */
  drained(): Promise<void>;
  /** @returns a function that stops listening */
  onResize(listener: () => void): () => void;
}

export type Env = Readonly<Record<string, string | undefined>>;

/** What a command sees of its surroundings; tests give their own. */
export interface Io {
  readonly out: Out;
  readonly err: Out;
  readonly env: Env;
  readonly cwd: string;
  readonly home: string;
  readonly stdinIsTTY: boolean;
  /** As it comes. */
  stdin(): AsyncIterable<Uint8Array>;
  /** One line from the terminal. */
  ask(question: string): Promise<string>;
  /** Unix milliseconds. */
  nowMs(): number;
  /** Ctrl-C and its like. @returns a function that stops listening */
  onInterrupt(listener: (signal: 'SIGINT' | 'SIGTERM') => void): () => void;
  /** Ends the process here and now: for the second Ctrl-C. */
  exitNow(code: number): void;
}

/** As https://no-color.org and Node's own FORCE_COLOR have it. */
export function wantsColor(env: Env, isTTY: boolean): boolean {
  if ((env['NO_COLOR'] ?? '') !== '') return false;
  const forced = env['FORCE_COLOR'] ?? env['CLICOLOR_FORCE'];
  if (forced !== undefined) return forced !== '0' && forced !== 'false';
  return isTTY && env['TERM'] !== 'dumb';
}

function outOf(stream: NodeJS.WriteStream, env: Env): Out {
  return {
    screen() {
      const isTTY = stream.isTTY === true;
      return {
        isTTY,
        columns: isTTY ? stream.columns || 80 : Number.POSITIVE_INFINITY,
        rows: isTTY ? stream.rows || 24 : Number.POSITIVE_INFINITY,
        color: wantsColor(env, isTTY),
      };
    },
    write: (data) => void stream.write(data),
    drained: () => new Promise((resolve) => stream.write('', () => resolve())),
    onResize(listener) {
      stream.on('resize', listener);
      return () => stream.off('resize', listener);
    },
  };
}

export function processIo(): Io {
  const env = process.env;
  return {
    out: outOf(process.stdout, env),
    err: outOf(process.stderr, env),
    env,
    cwd: process.cwd(),
    home: env['HOME'] || homedir(),
    stdinIsTTY: isatty(0),
    stdin: () => process.stdin,
    async ask(question) {
      const { createInterface } = await import('node:readline/promises');
      const prompt = createInterface({ input: process.stdin, output: process.stderr });
      const stop = new AbortController();
      prompt.once('close', () => stop.abort());
      try {
        return await prompt.question(question, { signal: stop.signal });
      } catch {
        return ''; // Ctrl-C or Ctrl-D: no answer
      } finally {
        prompt.close();
      }
    },
    nowMs: () => Date.now(),
    onInterrupt(listener) {
      const onSignal = (signal: NodeJS.Signals) => listener(signal === 'SIGTERM' ? 'SIGTERM' : 'SIGINT');
      process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
      return () => void process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
    },
    exitNow: (code) => process.exit(code),
  };
}
