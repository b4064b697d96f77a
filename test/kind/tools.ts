import type { Commands } from './commands.ts';

const TOOLS: Readonly<Record<string, { readonly proof: readonly string[]; readonly advice: string }>> = {
  docker: {
    proof: ['info', '--format', '{{.ServerVersion}}'],
    advice: 'install Docker (https://docs.docker.com/engine/install/), and start its engine: `docker info` must answer',
  },
  kind: { proof: ['version'], advice: 'install kind: https://kind.sigs.k8s.io/docs/user/quick-start/#installation' },
  kubectl: { proof: ['version', '--client'], advice: 'install kubectl: https://kubernetes.io/docs/tasks/tools/' },
  helm: { proof: ['version', '--short'], advice: 'install Helm 3: https://helm.sh/docs/intro/install/' },
};

/** @returns for each tool that does not work: which, why, and what to do */
export async function missingTools(commands: Commands): Promise<string[]> {
  const answers = await Promise.all(
    Object.entries(TOOLS).map(async ([name, { proof, advice }]) => {
      const why = await commands.attempt(name, proof).then(
        ({ code, stderr }) => (code === 0 ? undefined : (stderr.trim().split('\n')[0] ?? `exit code ${code}`)),
        (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? 'is not on the PATH' : error.message),
      );
      return why === undefined ? [] : [`${name}: ${why}\n→ ${advice}`];
    }),
  );
  return answers.flat();
}
