import type { Cluster } from './cluster.ts';

export interface CustomKind {
  readonly kind: string;
  readonly plural: string;
  readonly group: string;
}

/** As much of what operators of others define as Helm needs: nobody acts on such an object but the scenario. */
export async function defineKinds(cluster: Cluster, kinds: readonly CustomKind[]): Promise<void> {
  await cluster.apply(...kinds.map(definition));
  await cluster.kubectl`wait --for=condition=Established crd ${kinds.map(nameOf)} --timeout=60s`;
}

/** With all objects of them. */
export async function removeKinds({ kubectl }: Cluster, kinds: readonly CustomKind[]): Promise<void> {
  await kubectl`delete crd ${kinds.map(nameOf)} --ignore-not-found`;
}

function nameOf({ plural, group }: CustomKind): string {
  return `${plural}.${group}`;
}

function definition(custom: CustomKind): object {
  const { kind, plural, group } = custom;
  const openAPIV3Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: nameOf(custom) },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, plural, singular: kind.toLowerCase() },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema } }],
    },
  };
}
