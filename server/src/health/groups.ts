import type { GroupRef, LineAgent } from './line.ts';

/** Which lost lines have a cause in common. Pure. */

export interface GroupCount {
  /** Members whose line was missed just now, and whose alert is not decided. */
  readonly missed: number;
  /** Members that are there, or were until just now. */
  readonly base: number;
  /** Members that an alert of this group tells of already, if it has grown of late: others may follow. */
  readonly listed: number;
}

/** Whether what was lost together is an outage of the group. What was down before, for reasons of its own, does not count. */
export function isOutage({ rule }: GroupRef, { missed, base, listed }: GroupCount): boolean {
  const lost = missed + listed;
  const expected = base + listed;
  return lost >= rule.members && lost * 100 >= rule.percent * expected;
}

function isStorm({ rule }: GroupRef, { missed, listed }: GroupCount): boolean {
  return rule.storm !== undefined && missed + listed >= rule.storm;
}

/**
 * The group whose outage explains the loss of this agent best: the one that lost the most at once; of several that lost the same ones the
 * smallest. undefined: it was lost for itself.
 */
export function explaining(agent: LineAgent, countOf: (key: string) => GroupCount): GroupRef | undefined {
  const counted = agent.groups.map((group) => ({ group, count: countOf(group.key) }));
  const outages = counted.filter(({ group, count }) => isOutage(group, count));
  outages.sort((a, b) => b.count.missed - a.count.missed || a.count.base - b.count.base);
  return outages[0]?.group ?? counted.find(({ group, count }) => isStorm(group, count))?.group;
}
