import { expectSame, type Scenario, step } from '../scenario.ts';

/** From `kind create cluster` to a table with one row per node. */
const WITHIN_MS = 300_000;

export const install: Scenario = {
  name: 'install',
  title: 'one helm install gives a server, and an agent on every node',
  steps({ cluster, release, preparedMs }) {
    let begunMs = 0;
    return [
      step('helm install --wait', async () => {
        await release.remove();
        begunMs = performance.now();
        await release.apply({});
      }),
      step('right after it, linux/disk-usage has a row for each node; five minutes from the first line', async () => {
        const table = await release.openline`run linux/disk-usage --on all`;
        const tookMs = preparedMs + performance.now() - begunMs;
        const rows = table.split('\n').flatMap((line) => /^(\S+)\s+succeeded\b/.exec(line)?.[1] ?? []);
        expectSame('rows', rows, await cluster.nodes());
        if (tookMs > WITHIN_MS) throw new Error(`it took ${Math.round(tookMs / 1000)} s`);
      }),
      step('openline agents list names the nodes, the control plane too', async () => {
        const agents = (await release.agents()).map(({ name, state }) => `${name} ${state}`);
        const nodes = (await cluster.nodes()).map((node) => `${node} online`);
        expectSame('agents', agents, nodes);
      }),
      step('no container was restarted on the way', async () => {
        for (const { metadata, status } of [...(await release.pods('server')), ...(await release.pods('agent'))]) {
          const restarts = (status.containerStatuses ?? []).map(({ restartCount }) => restartCount);
          if (restarts.some((count) => count > 0)) throw new Error(`${metadata.name} was restarted`);
        }
      }),
    ];
  },
};
