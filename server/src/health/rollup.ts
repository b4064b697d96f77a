import type { HealthGroupSpec } from './health-group.ts';

/** How the health of agents makes that of their group. Pure. */

/** From the best to the worst. `unknown`: a probe does not work, so nobody can know. */
export const STATES = ['healthy', 'unknown', 'warning', 'critical'] as const;
export type State = (typeof STATES)[number];

export function worseOf(a: State, b: State): State {
  return STATES.indexOf(a) >= STATES.indexOf(b) ? a : b;
}

/** What a group needs to know of a member. */
export interface Member {
  /** As last known. */
  readonly state: State;
  /** Its line is lost for longer than is tolerated: grey. */
  readonly unreachable: boolean;
  /** False: it is in maintenance, or nobody minds that it is lost. */
  readonly counts: boolean;
}

/** undefined: no member counts. */
export function rollUp(
  { rollup, percent, unreachable }: Pick<HealthGroupSpec, 'rollup' | 'percent' | 'unreachable'>,
  members: readonly Member[],
): State | undefined {
  const states = members.flatMap((member): State[] => {
    if (!member.counts) return [];
    if (!member.unreachable) return [member.state];
    return unreachable === 'ignore' ? [] : [unreachable];
  });
  const sorted = states.sort((a, b) => STATES.indexOf(a) - STATES.indexOf(b));
  switch (rollup) {
    case 'worst':
      return sorted.at(-1);
    case 'best':
      return sorted[0];
    case 'percentage':
      return sorted[Math.max(0, Math.ceil((sorted.length * percent) / 100) - 1)];
    default:
      return rollup satisfies never;
  }
}
