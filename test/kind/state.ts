import type { Cluster } from './cluster.ts';
import type { Done } from './commands.ts';
import { words } from './words.ts';

const LINES = 45;

/** What a person would look at first when something failed. */
export async function describeState({ attempt }: Cluster, namespaces: readonly string[]): Promise<string> {
  const parts: string[] = [];
  const add = (title: string, { code, stdout, stderr }: Done): void => {
    const lines = (code === 0 ? stdout : stderr).trimEnd().split('\n').slice(-LINES);
    if (lines.join('') !== '') parts.push(`-- ${title}\n${lines.join('\n')}`);
  };
  add('nodes', await attempt`get nodes -o wide`);
  add('pods', await attempt`get pods --all-namespaces -o wide`);
  for (const namespace of namespaces) {
    const logs = words`logs -n ${namespace} --prefix --all-containers -l`;
    add(`events in ${namespace}`, await attempt`get events -n ${namespace} --sort-by=.lastTimestamp`);
    add('server', await attempt`${logs} app.kubernetes.io/component=server --tail=40`);
    const previous = await attempt`${logs} app.kubernetes.io/component=server --tail=20 --previous`;
    if (previous.code === 0) add('server, before its restart', previous);
    add('agents', await attempt`${logs} app.kubernetes.io/component=agent --tail=15`);
  }
  return parts.join('\n');
}
