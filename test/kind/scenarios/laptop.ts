import { join } from 'node:path';
import type { AgentView } from '../../../cli/src/views/agent.ts';
import { expectSame, type Scenario, step } from '../scenario.ts';
import { typed } from '../words.ts';

export const laptop: Scenario = {
  name: 'laptop',
  title:
    'openline on a laptop reaches the server by kubectl port-forward, with a context that one printed command makes',
  steps({ cluster, release, scratch }) {
    /** Somebody who has kubectl and openline, and has never used this server. */
    const env = { HOME: scratch, USER: 'kind', OPENLINE_CONFIG: join(scratch, 'openline.yaml') };
    const openline = typed((args) => cluster.commands.run('openline', args, { env }));
    return [
      step('install', () => release.ensure()),
      step('the command that Helm prints makes a context', async () => {
        const notes = await release.helm`get notes openline`;
        const command = notes.split('\n').find((line) => line.includes('openline context import'));
        if (command === undefined) throw new Error(`the notes have no such command:\n${notes}`);
        await cluster.commands.run('sh', ['-c', command], { env });
      }),
      step('through kubectl port-forward, agents list and run work as in the cluster', async () => {
        const forward = await cluster.forward(release.namespace, 'svc/openline-server', 5724);
        try {
          await openline`context set openline --server localhost:${forward.port}`;
          const agents: readonly AgentView[] = JSON.parse(await openline`agents list -o json`);
          const names = agents.map(({ name }) => name);
          expectSame('agents', names, await cluster.nodes());
          await openline`run linux/disk-usage --on all`;
        } finally {
          await forward.stop();
        }
      }),
    ];
  },
};
