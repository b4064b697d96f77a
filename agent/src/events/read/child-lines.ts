import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createStreamLines } from './stream-lines.ts';

export interface ChildLinesOptions {
  /** Ends the process. */
  readonly signal: AbortSignal;
  readonly maxLineBytes: number;
  /** What it says to people, each time with all that it said last. */
  readonly onStderr?: (stderr: string) => void;
}

const MAX_STDERR_CHARS = 2_000;

/**
 * Reads what a process writes, line by line and never faster than it is taken, until its end; or ends it, when `take` fails.
 * @returns how it ended; a process that could not be started ends with the reason
 */
export async function readChildLines(
  child: ChildProcess,
  { signal, maxLineBytes, onStderr = () => {} }: ChildLinesOptions,
  take: (lines: readonly string[], tooLong: number) => Promise<void>,
): Promise<{ error: Error; stderr: string }> {
  const end = endOf(child, onStderr);
  const stop = () => child.kill();
  signal.addEventListener('abort', stop, { once: true });
  const split = createStreamLines(maxLineBytes);
  try {
    if (child.stdout !== null) {
      for await (const chunk of child.stdout) {
        const { lines, tooLong } = split.push(chunk);
        if (lines.length + tooLong > 0) await take(lines, tooLong);
        if (signal.aborted) break;
      }
    }
  } finally {
    signal.removeEventListener('abort', stop);
    child.kill();
    await end;
  }
  return end;
}

async function endOf(
  child: ChildProcess,
  onStderr: (stderr: string) => void,
): Promise<{ error: Error; stderr: string }> {
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-MAX_STDERR_CHARS);
    onStderr(stderr);
  });
  try {
    const [code, signal] = await once(child, 'close');
    return { error: new Error(`it ended with ${signal ?? `exit code ${code}`}`), stderr };
  } catch (error) {
    return { error: error instanceof Error ? error : new Error(String(error)), stderr };
  }
}
