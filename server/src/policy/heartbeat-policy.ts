import { SEVERITIES, type Severity } from '@openline/packs';
import { booleanOf, choiceOf, durationOf, fieldsOf, integerOf } from '@openline/packs/read';
import type { Located, Report } from '@openline/packs/source';
import type { DeclaredKind } from '../declared/declared.ts';
import { MAX_PRIORITY } from './override.ts';
import { readOn, readReason, type Selection } from './read-fields.ts';

/** How the line of an agent is watched. What a policy does not say is said by a less specific one, and in the end by the server. */
export interface HeartbeatFields {
  readonly intervalMs: number | undefined;
  /** Heartbeats that may be missed before the line counts as lost. */
  readonly misses: number | undefined;
  /** How long an agent that was stopped on purpose may stay away before an alert says so; `never`. */
  readonly stoppedAfterMs: number | 'never' | undefined;
  /** Whether a lost line raises an alert at all. */
  readonly alert: boolean | undefined;
  /** Of that alert. */
  readonly severity: Severity | undefined;
}

export interface HeartbeatPolicySpec extends HeartbeatFields {
  readonly on: Selection;
  readonly priority: number;
  readonly reason: string;
}

const DAY_MS = 24 * 3600 * 1000;
const MIN_INTERVAL_MS = 1_000;
const MAX_INTERVAL_MS = 3_600_000;
const MAX_MISSES = 100;

export const heartbeatPolicyKind: DeclaredKind<HeartbeatPolicySpec> = {
  kind: 'HeartbeatPolicy',
  plural: 'heartbeatpolicies',
  role: 'admin',
  parse(spec, { report }) {
    const fields = fieldsOf(report, spec, "'spec'", [
      'on',
      'priority',
      'reason',
      'interval',
      'misses',
      'stoppedAfter',
      'alert',
      'severity',
    ]);
    const policy: HeartbeatPolicySpec = {
      on: readOn(report, fields.on?.value),
      priority: integerOf(report, fields.priority?.value, "'priority'", -MAX_PRIORITY, MAX_PRIORITY) ?? 0,
      reason: readReason(report, fields.reason?.value),
      intervalMs: durationOf(report, fields.interval?.value, "'interval'", {
        min: MIN_INTERVAL_MS,
        max: MAX_INTERVAL_MS,
      }),
      misses: integerOf(report, fields.misses?.value, "'misses'", 1, MAX_MISSES),
      stoppedAfterMs: readStoppedAfter(report, fields.stoppedAfter?.value),
      alert: booleanOf(report, fields.alert?.value, "'alert'"),
      severity: choiceOf(report, fields.severity?.value, "'severity'", SEVERITIES),
    };
    const { on, priority, reason, ...says } = policy;
    if (Object.values(says).every((value) => value === undefined))
      report.add(spec.at, "it says nothing: give 'interval', 'misses', 'stoppedAfter', 'alert' or 'severity'");
    return policy;
  },
};

function readStoppedAfter(report: Report, node: Located | undefined): number | 'never' | undefined {
  if (node?.kind === 'scalar' && node.value === 'never') return 'never';
  return durationOf(report, node, "'stoppedAfter'", { min: 1_000, max: 30 * DAY_MS });
}
