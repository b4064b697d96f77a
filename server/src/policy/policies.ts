import type { Severity } from '@openline/packs';
import { AlertSeverity, type Override } from '@openline/proto/agent';
import type { Attributes } from '../agents/selector.ts';
import type { Declared } from '../declared/declared.ts';
import { encode } from '../sessions/frames.ts';
import type { HeartbeatPolicySpec } from './heartbeat-policy.ts';
import type { OverrideSpec } from './override.ts';
import {
  type Heartbeat,
  type HeartbeatDefaults,
  type Layer,
  type Named,
  resolveHeartbeat,
  resolveOverrides,
  type WatchOverrides,
} from './resolve.ts';

/** What holds on an agent beyond its packs. Agents with the same share one object: it is compared by identity, and encoded once. */
export interface AgentPolicy {
  readonly heartbeat: Heartbeat;
  /** The encoded Policy message. */
  readonly message: Buffer;
}

export interface Policies {
  of(agent: Attributes): AgentPolicy;
  heartbeatOf(agent: Attributes): { readonly heartbeat: Heartbeat; readonly layers: readonly Layer[] };
  /** What overrides make of one rule or monitor on one agent, and which of them. */
  overridesOf(agent: Attributes, pack: string, watch: string): WatchOverrides;
  /** How many overrides there are of a rule or monitor, on whichever agents. */
  countOf(pack: string, watch: string): number;
  /** Called when what holds may have changed on any agent. */
  onChange(listener: () => void): void;
}

export interface PoliciesDeps {
  readonly overrides: Pick<Declared<OverrideSpec>, 'list' | 'onChange'>;
  readonly heartbeats: Pick<Declared<HeartbeatPolicySpec>, 'list' | 'onChange'>;
}

const SEVERITIES = {
  information: AlertSeverity.ALERT_SEVERITY_INFORMATION,
  warning: AlertSeverity.ALERT_SEVERITY_WARNING,
  critical: AlertSeverity.ALERT_SEVERITY_CRITICAL,
} as const satisfies Record<Severity, AlertSeverity>;

export function createPolicies({ overrides, heartbeats }: PoliciesDeps, defaults: HeartbeatDefaults): Policies {
  const listeners: (() => void)[] = [];
  /** By "pack/watch". */
  let byWatch = new Map<string, Named<OverrideSpec>[]>();
  /** What was made so far, by its content; emptied when an object changes, so it grows no further than with the distinct ones. */
  let made = new Map<string, AgentPolicy>();

  function load(): void {
    made = new Map();
    byWatch = new Map();
    for (const override of overrides.list()) {
      const key = `${override.spec.pack}/${override.spec.watch}`;
      const others = byWatch.get(key) ?? [];
      byWatch.set(key, others);
      others.push(override);
    }
  }
  function changed(): void {
    load();
    for (const listener of listeners) listener();
  }
  load();
  overrides.onChange(changed);
  heartbeats.onChange(changed);

  function overridesFor(agent: Attributes): Override[] {
    return [...byWatch].flatMap(([key, objects]): Override[] => {
      const { enabled, severity, settings, layers } = resolveOverrides(objects, agent);
      if (layers.length === 0) return [];
      const [packName = '', watchName = ''] = key.split('/');
      return [
        {
          packName,
          watchName,
          enabled,
          severity: severity === undefined ? AlertSeverity.ALERT_SEVERITY_UNSPECIFIED : SEVERITIES[severity],
          settingsJson: Object.keys(settings).length === 0 ? '' : JSON.stringify(sorted(settings)),
        },
      ];
    });
  }

  return {
    of(agent) {
      const { heartbeat } = resolveHeartbeat(heartbeats.list(), agent, defaults);
      const applied = overridesFor(agent);
      const key = JSON.stringify([heartbeat, applied]);
      const known = made.get(key);
      if (known !== undefined) return known;
      const value = { heartbeatIntervalMs: heartbeat.intervalMs, overrides: applied };
      const policy = { heartbeat, message: encode({ kind: { $case: 'policy', value } }) };
      made.set(key, policy);
      return policy;
    },
    heartbeatOf: (agent) => resolveHeartbeat(heartbeats.list(), agent, defaults),
    overridesOf: (agent, pack, watch) => resolveOverrides(byWatch.get(`${pack}/${watch}`) ?? [], agent),
    countOf: (pack, watch) => byWatch.get(`${pack}/${watch}`)?.length ?? 0,
    onChange: (listener) => void listeners.push(listener),
  };
}

/** So that the same settings are the same bytes. */
function sorted(settings: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1)));
}
