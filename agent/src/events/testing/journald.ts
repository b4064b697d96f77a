import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';

const JOURNALD = '/lib/systemd/systemd-journald';

/** For tests: whether a journal of our own can be had here. */
export function canRunJournald(): boolean {
  if (process.getuid?.() !== 0 || !existsSync(JOURNALD)) return false;
  try {
    execFileSync('unshare', ['--mount', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

export interface TestJournal {
  /** For journalctl. */
  readonly directory: string;
  /** Runs a command where the journal is; resolves when it has ended. */
  run(command: string): Promise<void>;
}

/** A real systemd-journald in a mount namespace of its own: nothing of it is seen outside, but its files. */
export async function startJournald(scratch: string): Promise<TestJournal> {
  const [systemd, log, conf] = ['systemd', 'log', 'journald.conf'].map((name) => join(scratch, name)) as [
    string,
    string,
    string,
  ];
  for (const directory of [systemd, join(systemd, 'journal'), log, join(log, 'journal')]) mkdirSync(directory);
  writeFileSync(conf, '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nRateLimitBurst=0\nRuntimeMaxFileSize=1M\n');
  const script = `
    mount --bind ${systemd} /run/systemd && mount --bind ${log} /run/log && mount --bind ${conf} /etc/systemd/journald.conf || exit 1
    ${JOURNALD} & journald=$!
    until [ -S /run/systemd/journal/socket ]; do kill -0 $journald || exit 1; sleep 0.02; done
    while IFS= read -r command; do eval "$command"; echo "$?"; done
    kill $journald; wait`;
  const child = spawn('unshare', ['--mount', '--propagation', 'private', 'bash', '-c', script], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  onTestFinished(async () => {
    child.stdin.end();
    await ended;
  });
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    directory: join(log, 'journal'),
    async run(command) {
      child.stdin.write(`${command}\n`);
      const { value } = await answers.next();
      if (value !== '0') throw new Error(`${command} ended with ${value}`);
    },
  };
}
