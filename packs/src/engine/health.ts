import type { HealthState } from '../monitoring.ts';
import type { MonitorState } from './outcome.ts';
import type { Instance } from './remembered.ts';

/** How one instance of a monitor gets worse and better. Pure. */

const RANK: Readonly<Record<HealthState, number>> = { healthy: 0, warning: 1, critical: 2 };

export function isWorse(a: HealthState, b: HealthState): boolean {
  return RANK[a] > RANK[b];
}

export function worst(a: HealthState, b: HealthState): HealthState {
  return isWorse(a, b) ? a : b;
}

export const newInstance: Instance = {
  k: 'instance',
  n: 0,
  state: 'healthy',
  unknown: false,
  rows: [0, 0, 0],
  missing: 0,
  badAt: 0,
  trend: '',
  points: [],
};

export function shownState({ state, unknown }: Instance): MonitorState {
  return unknown ? 'unknown' : state;
}

export interface Judging {
  /** So many in a row before it gets worse, or unknown. Better it gets at once. */
  readonly samples: number;
  /** It stays as bad as it ever was. */
  readonly sticks: boolean;
}

/** A sample was judged. */
export function afterSample(it: Instance, judged: HealthState, { samples, sticks }: Judging): Instance {
  const [warnings, criticals] = it.rows;
  const rows = [judged === 'healthy' ? 0 : warnings + 1, judged === 'critical' ? criticals + 1 : 0, 0] as const;
  const reached: HealthState = rows[1] >= samples ? 'critical' : rows[0] >= samples ? 'warning' : 'healthy';
  const worse = worst(it.state, reached);
  return {
    ...it,
    state: isWorse(judged, it.state) ? worse : sticks ? it.state : judged,
    unknown: false,
    // Counting on beyond what decides would make every sample a change of the state.
    rows: [Math.min(rows[0], samples), Math.min(rows[1], samples), 0],
    missing: 0,
  };
}

/** The probe did not work, or its sample could not be judged. Of what nothing was ever known, that is known at once. */
export function afterFailure(it: Instance | undefined, { samples }: Judging): Instance {
  if (it === undefined) return { ...newInstance, unknown: true };
  const [warnings, criticals, failed] = it.rows;
  const failures = Math.min(failed + 1, samples);
  return { ...it, unknown: it.unknown || failures >= samples, rows: [warnings, criticals, failures], missing: 0 };
}

/** An event said how it is. Events that are bad make it worse, never better. */
export function afterEvent(it: Instance, said: HealthState, nowUnixMs: number, sticks: boolean): Instance {
  if (said === 'healthy') return sticks ? it : { ...it, state: 'healthy' };
  return { ...it, state: worst(it.state, said), badAt: nowUnixMs };
}

/** A person, or a timer, says that it is healthy. */
export function afterReset(it: Instance): Instance {
  return { ...it, state: 'healthy', rows: [0, 0, it.rows[2]], badAt: 0 };
}
