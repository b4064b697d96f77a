import { eventually } from '../../harness/eventually.ts';
import { RESTRICTED } from '../pods/pods.ts';
import { expectSame, type Scenario, type Stage, step } from '../scenario.ts';

interface Stranger {
  readonly name: string;
  readonly title: string;
  readonly account: string;
  /** Of its projected token; undefined: one that was made by hand, for no pod. */
  readonly audience: string | undefined;
  /** What the server says of it, and the agent too. */
  readonly why: RegExp;
}

const STRANGERS: readonly Stranger[] = [
  {
    name: 'other-audience',
    title: 'a pod with the right account and a token of another audience',
    account: 'openline-agent',
    audience: 'https://kubernetes.default.svc.cluster.local',
    why: /audience/,
  },
  {
    name: 'other-account',
    title: 'a pod with the right audience and another service account',
    account: 'default',
    audience: 'openline',
    why: /openline:default/,
  },
  {
    name: 'no-pod',
    title: 'a token of the right account that was made by hand, for no pod',
    account: 'openline-agent',
    audience: undefined,
    why: /names no node/,
  },
];

export const refused: Scenario = {
  name: 'refused',
  title: 'who is not the agent of a node does not become one',
  steps(stage) {
    const { cluster, release } = stage;
    const { namespace } = release;
    return [
      step('install', () => release.ensure()),
      ...STRANGERS.map((stranger) =>
        step(`${stranger.title} is refused; log and metric say so`, async () => {
          const before = await refusals(stage);
          await start(stage, stranger);
          const says = async (who: string, text: string): Promise<boolean> => {
            const log = await cluster.kubectl`logs -n ${namespace} ${who} --tail=200`;
            return log.split('\n').some((line) => line.includes(text) && stranger.why.test(line));
          };
          const patience = { timeoutMs: 60_000, intervalMs: 1_000 };
          const refusal = `the refusal for ${stranger.why}`;
          await eventually(() => says('sts/openline-server', 'agent call refused'), { what: refusal, ...patience });
          await eventually(() => says(`stranger-${stranger.name}`, 'NODE_NOT_ATTESTED'), {
            what: 'the agent to say so',
            ...patience,
          });
          await eventually(async () => (await refusals(stage)) > before, { what: 'the metric', ...patience });
          await cluster.kubectl`delete pod -n ${namespace} stranger-${stranger.name} --now`;
        }),
      ),
      step('there is no agent but those of the nodes', async () => {
        const names = (await release.agents()).map(({ name }) => name);
        expectSame('agents', names, await cluster.nodes());
      }),
    ];
  },
  async teardown({ cluster, release }) {
    await cluster.kubectl`delete pods,secrets -n ${release.namespace} -l app=stranger --now`;
  },
};

async function refusals({ release }: Stage): Promise<number> {
  const lines = (await release.metrics()).split('\n');
  const counts = lines.flatMap(
    (line) => /^openline_enrollments_total\{.*NODE_NOT_ATTESTED.*\} (\d+)/.exec(line)?.[1] ?? [],
  );
  return counts.reduce((sum, count) => sum + Number(count), 0);
}

/** An agent as the chart starts it, but for its token. */
async function start({ cluster, release }: Stage, { name, account, audience }: Stranger): Promise<void> {
  const { namespace } = release;
  const metadata = { name: `stranger-${name}`, namespace, labels: { app: 'stranger' } };
  if (audience === undefined) {
    const token = await cluster.kubectl`create token ${account} -n ${namespace} --audience openline`;
    await cluster.apply({ apiVersion: 'v1', kind: 'Secret', metadata, stringData: { token: token.trim() } });
  }
  const proof =
    audience === undefined
      ? { secret: { name: metadata.name } }
      : { serviceAccountToken: { path: 'token', audience, expirationSeconds: 600 } };
  const env = {
    OPENLINE_AGENT_SERVERS: 'openline-server:5723',
    OPENLINE_AGENT_DATA_DIR: '/data',
    OPENLINE_AGENT_KUBERNETES_TOKEN_FILE: '/identity/token',
    OPENLINE_AGENT_CA_FILE: '/identity/ca.crt',
  };
  await cluster.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata,
    spec: {
      serviceAccountName: account,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 1,
      securityContext: RESTRICTED.pod,
      containers: [
        {
          name: 'agent',
          image: `openline/agent:${release.tag}`,
          env: Object.entries(env).map(([key, value]) => ({ name: key, value })),
          securityContext: RESTRICTED.container,
          volumeMounts: [
            { name: 'data', mountPath: '/data' },
            { name: 'tmp', mountPath: '/tmp' },
            { name: 'identity', mountPath: '/identity', readOnly: true },
          ],
        },
      ],
      volumes: [
        { name: 'data', emptyDir: {} },
        { name: 'tmp', emptyDir: {} },
        { name: 'identity', projected: { sources: [proof, { configMap: { name: 'openline-ca' } }] } },
      ],
    },
  });
}
