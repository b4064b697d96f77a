import { join } from 'node:path';
import { ROOT } from '../harness/paths.ts';

/** Everything that the demo writes. The CLI finds the server by .openline/server/client.json. */
export const DATA = join(ROOT, '.openline');
export const SERVER_DATA = join(DATA, 'server');
export const AGENTS_DATA = join(DATA, 'agents');
export const LOGS = join(DATA, 'logs');

export function agentData(name: string): string {
  return join(AGENTS_DATA, name);
}

/** As a person in the checkout would write it. */
export function shown(path: string): string {
  return path.slice(ROOT.length + 1);
}
