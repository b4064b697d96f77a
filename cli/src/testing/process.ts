import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
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
  /** Resolves when the text has been written to stdout. */
  prints(text: string): Promise<void>;
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
  const written = (stream: Readable, soFar: () => string, text: string) =>
    new Promise<void>((resolve, reject) => {
      const look = () => soFar().includes(text) && resolve();
      stream.on('data', look);
      end.then(() =>
        soFar().includes(text)
          ? resolve()
          : reject(new Error(`it ended without writing «${text}»: ${stdout}\n${stderr}`)),
      );
      look();
    });
  return {
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    kill: (signal) => void child.kill(signal),
    closeStdout: () => void child.stdout.destroy(),
    says: (text) => written(child.stderr, () => stderr, text),
    prints: (text) => written(child.stdout, () => stdout, text),
    end,
  };
}
