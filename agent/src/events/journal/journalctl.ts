import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { SourceFault } from '../read/loop.ts';

/** The journal is a binary format whose only stable reader is journalctl. */

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const ENVIRONMENT = { PATH, LC_ALL: 'C', SYSTEMD_COLORS: '0' };
const RETRY_MS = 60_000;

export interface JournalctlConfig {
  /** Default: journalctl, where programs of the system are. */
  readonly program?: string;
  /** Default: the journals of this machine. */
  readonly directory?: string;
}

/** Whether there is a journal, and a journalctl to read it with. */
export function isJournalHere(): boolean {
  const program = PATH.split(delimiter).some((directory) => existsSync(join(directory, 'journalctl')));
  return program && ['/run/log/journal', '/var/log/journal'].some(hasJournal);
}

/** Each machine's is in a directory of its own; without systemd an empty one may be left of an installation. */
function hasJournal(directory: string): boolean {
  try {
    return readdirSync(directory).some((machine) => /^[0-9a-f]{32}/.test(machine));
  } catch {
    return false;
  }
}

/** Where the journal ends. @returns undefined: it is empty. @throws SourceFault */
export function lastCursor(config: JournalctlConfig, signal: AbortSignal): Promise<string | undefined> {
  const args = [...argsOf(config), '--quiet', '--lines=0', '--show-cursor'];
  return new Promise((resolve, reject) => {
    execFile(programOf(config), args, { env: ENVIRONMENT, signal, timeout: 30_000 }, (error, stdout, stderr) => {
      const cursor = /^-- cursor: (\S+)$/m.exec(stdout)?.[1];
      // It fails also where there is just nothing.
      if (cursor !== undefined || (error !== null && error.code === 1 && stderr === '')) resolve(cursor);
      else if (error === null) resolve(undefined);
      else reject(asFault(error, stderr));
    });
  });
}

/** Entries as lines of JSON, the oldest first, and then those that come. @param cursor undefined: from the first one that there is */
export function followJournal(config: JournalctlConfig, cursor: string | undefined): ChildProcess {
  // --follow alone means this start of the machine only; --merge takes all of them.
  const args = [...argsOf(config), '--merge', '--follow', '--no-tail', '--all', '--output=json'];
  if (cursor !== undefined) args.push(`--after-cursor=${cursor}`);
  return spawn(programOf(config), args, { env: ENVIRONMENT, stdio: ['ignore', 'pipe', 'pipe'] });
}

function programOf({ program = 'journalctl' }: JournalctlConfig): string {
  return program;
}

function argsOf({ directory }: JournalctlConfig): string[] {
  return directory === undefined ? [] : [`--directory=${directory}`];
}

export function asFault(cause: Error, stderr: string): SourceFault {
  if ('code' in cause && cause.code === 'ENOENT')
    return new SourceFault('the journal cannot be read: there is no journalctl here', { cause, retryMs: RETRY_MS });
  const said = stderr.trim().split('\n').at(-1) ?? '';
  return new SourceFault(`the journal cannot be read: journalctl: ${said === '' ? cause.message : said}`, { cause });
}
