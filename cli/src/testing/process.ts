import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll } from 'vitest';

const BIN = join(import.meta.dirname, '..', '..', 'bin', 'openline.mjs');

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly pid: number;
  stdout(): string;
  stderr(): string;
  kill(signal: NodeJS.Signals): void;
  /** Closes our end of its stdout, as `head` does. */
  closeStdout(): void;
  /** Resolves when the text has been written to stderr. */
  says(text: string): Promise<void>;
  readonly end: Promise<Finished>;
}

/** A home and a working folder of its own: nothing of this machine's configuration reaches the tests. */
const EMPTY = join(tmpdir(), `openline-cli-${randomUUID()}`);
beforeAll(() => {
  mkdirSync(EMPTY);
  return () => rmSync(EMPTY, { recursive: true, force: true });
});

/** Starts the real `openline`, without a terminal. Bounded in time. */
export function openline(args: readonly string[], env: Record<string, string> = {}, cwd = EMPTY): Running {
  const child = spawn(process.execPath, [BIN, ...args], {
    cwd,
    env: { PATH: process.env['PATH'] ?? '', HOME: EMPTY, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 20_000,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => {
    stdout += data;
  });
  child.stderr.on('data', (data: Buffer) => {
    stderr += data;
  });
  const end = new Promise<Finished>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    kill: (signal) => void child.kill(signal),
    closeStdout: () => void child.stdout.destroy(),
    says: (text) =>
      new Promise((resolve, reject) => {
        const look = () => stderr.includes(text) && resolve();
        child.stderr.on('data', look);
        end.then(() =>
          stderr.includes(text) ? resolve() : reject(new Error(`it ended without saying «${text}»: ${stderr}`)),
        );
        look();
      }),
    end,
  };
}
