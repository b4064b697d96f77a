import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface Done {
  /** null: a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly stdin?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** KILL after that. Default 2 minutes: a step that takes longer says so. */
  readonly timeoutMs?: number;
}

export interface Running {
  /** Of both streams, as they came. */
  readonly lines: readonly string[];
  hasExited(): boolean;
  stop(): Promise<void>;
}

export interface Commands {
  /** @returns what it wrote to standard output. @throws Error with the command and what it wrote, when it fails */
  run(program: string, args: readonly string[], options?: CommandOptions): Promise<string>;
  /** For commands that may fail, or must. */
  attempt(program: string, args: readonly string[], options?: CommandOptions): Promise<Done>;
  /** Starts it and leaves it running. */
  start(program: string, args: readonly string[]): Running;
}

const TIMEOUT_MS = 120_000;
const SHOWN_CHARACTERS = 4_000;

/** Programs of the PATH, with the environment given. @param signal ends them all, and refuses further ones */
export function createCommands(env: Readonly<Record<string, string>>, signal: AbortSignal): Commands {
  function begin(program: string, args: readonly string[], more: Readonly<Record<string, string>> = {}): ChildProcess {
    signal.throwIfAborted();
    return spawn(program, args, { env: { ...process.env, ...env, ...more }, stdio: 'pipe', signal });
  }

  const attempt: Commands['attempt'] = async (program, args, options = {}) => {
    const child = begin(program, args, options.env);
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    let late = '';
    const timer = setTimeout(() => {
      late = `\nended after ${timeoutMs / 1000} s: it took too long`;
      child.kill('SIGKILL');
    }, timeoutMs);
    const [stdout, stderr] = [child.stdout, child.stderr].map((stream) => {
      const parts: string[] = [];
      stream?.setEncoding('utf8').on('data', (part: string) => parts.push(part));
      return () => parts.join('');
    });
    child.stdin?.on('error', () => {}); // it may end without reading
    child.stdin?.end(options.stdin ?? '');
    try {
      const code = await new Promise<number | null>((resolve, reject) => {
        child.once('error', reject);
        child.once('close', resolve);
      });
      return { code, stdout: stdout?.() ?? '', stderr: `${stderr?.() ?? ''}${late}` };
    } finally {
      clearTimeout(timer);
    }
  };

  return {
    attempt,
    async run(program, args, options) {
      const { code, stdout, stderr } = await attempt(program, args, options);
      if (code === 0) return stdout;
      const said = [stderr.trim(), stdout.trim()].filter((text) => text !== '').join('\n');
      throw new Error(
        `${[program, ...args].join(' ')}\nended with ${code === null ? 'a signal' : `exit code ${code}`}\n${said.slice(-SHOWN_CHARACTERS)}`,
      );
    },
    start(program, args) {
      const child = begin(program, args);
      const lines: string[] = [];
      let ended = false;
      const exited = new Promise<void>((resolve) => {
        const end = (): void => {
          ended = true;
          resolve();
        };
        child.once('error', (error) => {
          lines.push(error.message);
          end();
        });
        child.once('close', end);
      });
      for (const input of [child.stdout, child.stderr]) {
        if (input !== null) createInterface({ input }).on('line', (line) => lines.push(line));
      }
      return {
        lines,
        hasExited: () => ended,
        async stop() {
          child.kill('SIGTERM');
          await exited;
        },
      };
    },
  };
}
