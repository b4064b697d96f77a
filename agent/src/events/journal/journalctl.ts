import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { placed, type View } from '../../host/view.ts';
import { SourceFault } from '../read/loop.ts';

/** The journal is a binary format whose only stable reader is journalctl. */

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const ENVIRONMENT = { PATH, LC_ALL: 'C', SYSTEMD_COLORS: '0' };
const RETRY_MS = 60_000;

export interface JournalctlConfig {
  /** The program and what comes before all other arguments. Default: journalctl, where programs of the system are. */
  readonly command?: readonly [string, ...string[]];
  /** Default: the journals of this machine. */
  readonly directory?: string;
}

/** How the journal that tasks see is read: for reading, by our own journalctl; in the host's namespaces, by the host's. */
export function journalCommand(view: View): readonly [string, ...string[]] {
  const [program = 'journalctl', ...args] = placed(view, ['journalctl'], view.root);
  return view.access === 'read' ? [program, `--root=${view.root}`] : [program, ...args];
}

/** Whether there is a journal, and a journalctl to read it with. */
export function isJournalHere({ access, root }: View): boolean {
  const programs = access === 'full' ? root : '';
  const program = PATH.split(delimiter).some((directory) => existsSync(join(programs, directory, 'journalctl')));
  return program && ['/run/log/journal', '/var/log/journal'].some((directory) => hasJournal(`${root}${directory}`));
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
  const [program, ...args] = [...commandOf(config), '--quiet', '--lines=0', '--show-cursor'] as const;
  return new Promise((resolve, reject) => {
    execFile(program, args, { env: ENVIRONMENT, signal, timeout: 30_000 }, (error, stdout, stderr) => {
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
  const [program, ...args] = [
    ...commandOf(config),
    '--merge',
    '--follow',
    '--no-tail',
    '--all',
    '--output=json',
  ] as const;
  const after = cursor === undefined ? [] : [`--after-cursor=${cursor}`];
  return spawn(program, [...args, ...after], { env: ENVIRONMENT, stdio: ['ignore', 'pipe', 'pipe'] });
}

function commandOf({ command = ['journalctl'], directory }: JournalctlConfig): readonly [string, ...string[]] {
  return directory === undefined ? command : [...command, `--directory=${directory}`];
}

export function asFault(cause: Error, stderr: string): SourceFault {
  if ('code' in cause && cause.code === 'ENOENT')
    return new SourceFault('the journal cannot be read: there is no journalctl here', { cause, retryMs: RETRY_MS });
  const said = stderr.trim().split('\n').at(-1) ?? '';
  return new SourceFault(`the journal cannot be read: journalctl: ${said === '' ? cause.message : said}`, { cause });
}
