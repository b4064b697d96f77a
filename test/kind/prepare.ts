import { join } from 'node:path';
import { ROOT } from '../harness/paths.ts';
import type { Commands } from './commands.ts';

/** One control plane and two workers. */
const CONFIG = `kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
  - role: control-plane
  - role: worker
  - role: worker
`;
const CREATED_WITHIN_MS = 600_000;
const BUILT_WITHIN_MS = 900_000;
const COMPONENTS = ['server', 'agent'];

export async function clusterExists(commands: Commands, name: string): Promise<boolean> {
  return (await commands.run('kind', ['get', 'clusters'])).split('\n').includes(name);
}

/** Resolves when every node is Ready and names can be looked up. */
export async function createKindCluster(commands: Commands, name: string): Promise<void> {
  const image = process.env['KIND_NODE_IMAGE'];
  const args = ['create', 'cluster', '--name', name, '--config', '-', ...(image ? ['--image', image] : [])];
  await commands.run('kind', args, { stdin: CONFIG, timeoutMs: CREATED_WITHIN_MS });
  const wait = ['--timeout=300s'];
  await commands.run('kubectl', ['wait', '--for=condition=Ready', 'node', '--all', ...wait], { timeoutMs: 310_000 });
  await commands.run('kubectl', ['rollout', 'status', '-n', 'kube-system', 'deployment/coredns', ...wait], {
    timeoutMs: 310_000,
  });
}

export async function deleteKindCluster(commands: Commands, name: string): Promise<void> {
  await commands.run('kind', ['delete', 'cluster', '--name', name], { timeoutMs: 300_000 });
}

/** The images of this checkout, under the tag, and once more as those of a next version. */
export async function buildImages(commands: Commands, tag: string): Promise<void> {
  await commands.run(process.execPath, [join(ROOT, 'scripts', 'images.ts'), '--tag', tag], {
    timeoutMs: BUILT_WITHIN_MS,
  });
  for (const name of COMPONENTS.map((component) => `openline/${component}`)) {
    await commands.run('docker', ['tag', `${name}:${tag}`, `${name}:${nextTag(tag)}`]);
  }
}

export async function loadImages(commands: Commands, tag: string, cluster: string): Promise<void> {
  await commands.run('kind', ['load', 'docker-image', ...images(tag), '--name', cluster], { timeoutMs: 300_000 });
}

export async function removeImages(commands: Commands, tag: string): Promise<void> {
  await commands.attempt('docker', ['image', 'rm', ...images(tag)]);
}

export function nextTag(tag: string): string {
  return `${tag}-next`;
}

function images(tag: string): string[] {
  return COMPONENTS.flatMap((component) => [tag, nextTag(tag)].map((each) => `openline/${component}:${each}`));
}
