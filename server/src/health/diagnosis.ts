import type { Ended } from './line.ts';

/** What tells a dead agent from a dead node from a dead network. Pure; probes.ts gathers the evidence. */

export type Verdict =
  /** The node is there, the agent is not. */
  | 'agent'
  | 'node'
  /** What lies between the server and the node. */
  | 'network'
  /** Stopped on purpose, and not back in time. */
  | 'stopped'
  /** Kubernetes has removed its node: nobody need be told. */
  | 'removed'
  | 'unknown';

export interface Evidence {
  /** A TCP connection to the address that the agent came from: `refused` and `accepted` are answers of the node's kernel. */
  readonly tcp: 'accepted' | 'refused' | 'silent' | 'host-unreachable' | 'no-route' | 'skipped';
  readonly icmp: 'answers' | 'silent' | 'skipped';
  /** Kubernetes' Ready condition of the node. */
  readonly node: 'ready' | 'not-ready' | 'absent' | 'skipped';
  /** Agents of other hosts come from that address as well, so what answers there may be a gateway. */
  readonly shared: boolean;
  /** For people: what was looked at and what was skipped, a line each. */
  readonly notes: readonly string[];
}

/** How others of its group fare: `none` when there are no others. */
export type Peers = 'up' | 'lost' | 'none';

/** @param evidence undefined: nothing was looked at */
export function verdictOf(ended: Ended, evidence: Evidence | undefined, peers: Peers): Verdict {
  if (evidence?.node === 'absent') return 'removed';
  if (ended === 'stopped') return 'stopped';
  if (evidence === undefined) return 'unknown';
  const { tcp, icmp, node, shared } = evidence;
  if (node === 'not-ready') return 'node';
  if (!shared && (tcp === 'accepted' || tcp === 'refused' || icmp === 'answers')) return 'agent';
  // The control plane hears the node. If its connection ended in order, its agent ended; if it fell silent, we are the ones who do not hear.
  if (node === 'ready') return ended === 'broken' ? 'agent' : 'network';
  if (tcp === 'no-route') return 'network';
  if (tcp === 'host-unreachable') return peers === 'lost' ? 'network' : 'node';
  const silent = tcp === 'silent' && icmp !== 'answers';
  // A connection that ended in order was ended by somebody who was alive: that its node does not answer may be a firewall's doing.
  if (shared || !silent || ended === 'broken') return 'unknown';
  if (peers === 'up') return 'node';
  return peers === 'lost' ? 'network' : 'unknown';
}

const AGREED = 0.8;

/** Of a group that was lost together: what most of its members say. */
export function verdictOfGroup(verdicts: readonly Verdict[]): Verdict {
  const counts = new Map<Verdict, number>();
  for (const verdict of verdicts) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  const known = verdicts.length - (counts.get('unknown') ?? 0);
  if (known === 0) return 'unknown';
  for (const [verdict, count] of counts) if (verdict !== 'unknown' && count >= known * AGREED) return verdict;
  return 'unknown';
}
