import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where an agent keeps its data unless it is told. */
export function defaultDataDir(): string {
  const root = process.getuid?.() === 0;
  return root ? '/var/lib/openline/agent' : join(homedir(), '.local', 'share', 'openline', 'agent');
}

/** Where its own event log is unless it is told. */
export function eventsDirectoryIn(dataDir: string): string {
  return join(dataDir, 'events');
}
