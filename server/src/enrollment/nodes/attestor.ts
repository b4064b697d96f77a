import { decodeJwt } from 'jose';
import { type NodeAttestor, notAttested } from './node-identity.ts';

/** @param own of the cluster that this server runs in. @param remote by issuer */
export function createNodeAttestor(
  own: NodeAttestor | undefined,
  remote: ReadonlyMap<string, NodeAttestor>,
): NodeAttestor {
  return {
    async attest(token) {
      // Who says to be the issuer only chooses whom to ask.
      const found = remote.get(issuerOf(token)) ?? own;
      if (found === undefined)
        throw notAttested('this server takes no agents of that cluster; see kubernetesAgents and remoteClusters');
      return found.attest(token);
    },
  };
}

function issuerOf(token: string): string {
  try {
    return decodeJwt(token).iss ?? '';
  } catch (cause) {
    throw notAttested('this is no service-account token', cause);
  }
}
