import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type Child, logFile } from './children.ts';
import { type Server, startAgent, startServer } from './cluster.ts';
import { shown } from './places.ts';
import { print } from './screen.ts';
import type { Stage } from './steps.ts';

const RESTART_AFTER_MS = 1_000;
/** What goes before the server of this folder: see docs/cli.md. */
const OVERRIDES = ['OPENLINE_SERVER', 'OPENLINE_CONTEXT', 'OPENLINE_TOKEN', 'OPENLINE_CA'];

export function whatNext({ metricsPort }: Server): void {
  print();
  print('Now you. In another terminal, in this folder:');
  print();
  const set = OVERRIDES.filter((name) => process.env[name] !== undefined);
  if (set.length > 0) print(`  unset ${set.join(' ')}    # they name another server`);
  if (hasConfig()) print('  export OPENLINE_CONFIG=/dev/null    # yours names another server');
  print('  npx openline agents list');
  print('  npx openline run linux/disk-usage --on all');
  print('  npx openline packs show linux');
  print('  npx openline trace web-1            # then run something there');
  print('  npx openline runs list');
  print('  npx openline alerts list            # and: npx openline health');
  print(`  curl -s http://127.0.0.1:${metricsPort}/metrics | grep ^openline`);
  print();
  print('The server and the agents stay up until you press Ctrl-C here. Kill one, and it');
  print('is started again, as systemd or Kubernetes would.');
}

function hasConfig(): boolean {
  const { OPENLINE_CONFIG, XDG_CONFIG_HOME } = process.env;
  return existsSync(OPENLINE_CONFIG || join(XDG_CONFIG_HOME || join(homedir(), '.config'), 'openline', 'config.yaml'));
}

/** Starts again what ends. @returns only by an error */
export async function stayUp({ server, agents }: Stage, isServer: (child: Child) => void): Promise<never> {
  let current = server;
  const keepServer = async (): Promise<never> => {
    for (;;) {
      const how = await current.child.exited;
      await again('server', how);
      const ports = [current.agentPort, current.operatorPort, current.metricsPort];
      current = await startServer(
        ports.map((port) => ({ port, instead: undefined })),
        isServer,
      );
      print('server is up again');
    }
  };
  const keepAgent = async (name: string): Promise<never> => {
    for (;;) {
      const how = await agents.get(name)?.child.exited;
      await again(name, how ?? 'unknown');
      agents.set(name, await startAgent(name, current));
      print(`${name} is connected again`);
    }
  };
  return await Promise.race([keepServer(), ...[...agents.keys()].map(keepAgent)]);
}

async function again(name: string, how: string): Promise<void> {
  print(`${name} ended (${how}); starting it again (log: ${shown(logFile(name))})`);
  await new Promise((resolve) => setTimeout(resolve, RESTART_AFTER_MS));
}
