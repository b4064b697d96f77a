import { eventually } from '../../harness/eventually.ts';
import { expectSame, type Scenario, type Stage, step } from '../scenario.ts';

const LABEL = 'openline.example/shelf';

export const nodeLabels: Scenario = {
  name: 'node-labels',
  title: 'tasks go where the labels of nodes say, and each result comes from its node',
  steps(stage) {
    const { cluster, release } = stage;
    let workers: string[] = [];
    return [
      step('install', async () => {
        await release.ensure();
        workers = await cluster.workers();
      }),
      step('a run on all nodes runs in the pod of each node', async () => {
        await expectRunOn(stage, 'all', await cluster.nodes());
      }),
      step('kubectl label node: the selector knows it, without a restart of anything', async () => {
        for (const node of workers) await cluster.kubectl`label node ${node} ${LABEL}=of-${node}`;
        for (const node of workers) {
          await selects(stage, `${LABEL}=of-${node}`, [node]);
          await expectRunOn(stage, `${LABEL}=of-${node}`, [node]);
        }
      }),
      step(
        'a parameter that is the label of the node has its value there, and another one once that is another',
        async () => {
          const echoed = async () => {
            const run = await release.begin`utility/echo --on ${LABEL} --param-from ${`text=label:${LABEL}`}`;
            return (await release.ended(run)).dispatches.map(({ agent, stdout = '' }) => `${agent}: ${stdout.trim()}`);
          };
          const of = (prefix: string) => workers.map((node) => `${node}: ${prefix}-${node}`);
          expectSame('what was put in', await echoed(), of('of'));
          for (const node of workers) await cluster.kubectl`label node ${node} ${LABEL}=now-${node} --overwrite`;
          for (const node of workers) await selects(stage, `${LABEL}=now-${node}`, [node]);
          expectSame('what was put in then', await echoed(), of('now'));
        },
      ),
      step('labels that Kubernetes itself gives work as well', async () => {
        await expectRunOn(stage, '!node-role.kubernetes.io/control-plane', workers);
        await expectRunOn(stage, `kubernetes.io/hostname=${workers[0]}`, workers.slice(0, 1));
      }),
      step('a label that is taken away selects nothing any more', async () => {
        await cluster.kubectl`label nodes --all ${LABEL}-`;
        await selects(stage, LABEL, []);
        const { code, stderr } = await release.attempt`run utility/ping --on ${LABEL}`;
        if (code !== 2 || !stderr.includes('NO_TARGETS'))
          throw new Error(`a run on nobody: exit code ${code}, ${stderr}`);
      }),
    ];
  },
  async teardown({ cluster }) {
    await cluster.kubectl`label nodes --all ${LABEL}-`;
  },
};

/** The agent of which node ran it, says the server; in which pod it ran, says the task; on which node that is, says Kubernetes. */
async function expectRunOn({ release }: Stage, targets: string, nodes: readonly string[]): Promise<void> {
  const run = await release.begin`utility/shell --on ${targets} --param ${'script=uname -n'}`;
  const { dispatches } = await release.ended(run);
  const nodeOf = new Map((await release.pods('agent')).map(({ metadata, spec }) => [metadata.name, spec.nodeName]));
  const found = dispatches.map(({ agent, state, stdout = '' }) => `${agent} ${state} on ${nodeOf.get(stdout.trim())}`);
  const wanted = nodes.map((node) => `${node} succeeded on ${node}`);
  expectSame(`a run on ${targets}`, found, wanted);
}

async function selects({ release }: Stage, targets: string, nodes: readonly string[]): Promise<void> {
  await eventually(
    async () => {
      const names = (await release.agents(targets)).map(({ name }) => name);
      expectSame(targets, names, nodes);
      return true;
    },
    { what: `${targets} to select ${nodes.join(', ') || 'nobody'}`, timeoutMs: 30_000, intervalMs: 500 },
  );
}
