import { didYouMean } from '@openline/proto/suggest';
import type { PackMonitor, PackRule } from '../monitoring.ts';
import type { Pack } from '../pack.ts';
import { type CompiledMonitor, type CompiledRule, compileMonitor, compileRule, idOf } from './compiled.ts';
import { type Overridden, overrideMonitor, overrideRule } from './overrides.ts';
import type { About, WatchOverride, WatchStatus } from './types.ts';

export interface CompiledWatches {
  readonly statuses: readonly WatchStatus[];
  /** Logs that some rule or monitor wants events of: nobody need read the others. A `*` stands for any text. Sorted. */
  readonly logs: readonly string[];
  /** Overrides that were left out, wholly or in part, and why. */
  readonly problems: readonly string[];
  readonly rules: readonly CompiledRule[];
  readonly monitors: readonly CompiledMonitor[];
}

export function compile(packs: readonly Pack[], about: About, overrides: readonly WatchOverride[]): CompiledWatches {
  const agent = { name: about.agentName, labels: about.labels, facts: about.facts };
  const byId = new Map(overrides.map((override) => [idOf(override.pack, override.watch), override]));
  const rules: CompiledRule[] = [];
  const monitors: CompiledMonitor[] = [];
  const statuses: WatchStatus[] = [];
  const logs = new Set<string>();
  const problems = overrides.flatMap((override) => problemWithTarget(packs, override) ?? []);

  for (const pack of packs) {
    const status = (
      kind: 'rule' | 'monitor',
      { watch, settings, overridden, problems: own }: Overridden<PackRule | PackMonitor>,
    ) => {
      const ref = { pack: pack.name, version: pack.version, name: watch.name };
      const { holds, why } = whether(watch, about, overridden);
      statuses.push({ kind, watch: ref, title: watch.title, holds, why, settings, overridden });
      problems.push(...own.map((problem) => `${pack.name}/${watch.name}: ${problem}`));
      return holds ? ref : undefined;
    };
    for (const rule of pack.rules.values()) {
      const overridden = overrideRule(rule, byId.get(idOf(pack.name, rule.name)));
      const ref = status('rule', overridden);
      if (ref === undefined) continue;
      rules.push(compileRule(overridden.watch, ref, agent));
      addLogs(logs, [...rule.on, ...(rule.condition.kind === 'absence' ? rule.condition.expect : [])]);
    }
    for (const monitor of pack.monitors.values()) {
      const overridden = overrideMonitor(monitor, byId.get(idOf(pack.name, monitor.name)));
      const ref = status('monitor', overridden);
      if (ref === undefined) continue;
      monitors.push(compileMonitor(overridden.watch, ref, agent));
      const { input } = monitor;
      if (input.kind === 'events') addLogs(logs, [...input.warning, ...input.critical, ...input.healthy]);
    }
  }
  return { rules, monitors, statuses, logs: [...logs].sort(), problems };
}

function addLogs(logs: Set<string>, matches: readonly { readonly logs: readonly string[] | undefined }[]): void {
  for (const { logs: wanted } of matches) for (const log of wanted ?? ['*']) logs.add(log);
}

function whether(
  watch: { readonly enabled: boolean; readonly requires: Readonly<Record<string, string>> },
  { labels, facts }: About,
  overridden: readonly string[],
): { holds: boolean; why: string } {
  if (!watch.enabled) {
    return { holds: false, why: overridden.includes('enabled') ? 'an override disables it' : 'the pack disables it' };
  }
  for (const [key, wanted] of Object.entries(watch.requires)) {
    const value = labels[key] ?? facts[key];
    if (value === undefined) {
      return {
        holds: false,
        why: `it requires ${key}${wanted === '*' ? '' : `=${wanted}`}, which the agent does not have`,
      };
    }
    if (wanted !== '*' && value !== wanted) {
      return { holds: false, why: `it requires ${key}=${wanted}, and the agent has ${key}=${value}` };
    }
  }
  return { holds: true, why: overridden.includes('enabled') ? 'an override enables it' : 'the pack enables it' };
}

/** An override of a pack that this agent does not hold waits for it, and is no problem. */
function problemWithTarget(packs: readonly Pack[], { pack: packName, watch }: WatchOverride): string | undefined {
  const pack = packs.find(({ name }) => name === packName);
  if (pack === undefined || pack.rules.has(watch) || pack.monitors.has(watch)) return undefined;
  return `${packName}/${watch}: the pack has no such rule or monitor${didYouMean(watch, namesIn(pack))}`;
}

function namesIn({ rules, monitors }: Pack): string[] {
  return [...rules.keys(), ...monitors.keys()];
}

/** What of an override makes no sense for the pack's rule or monitor; empty when all does. For people. */
export function overrideProblems(pack: Pack, override: WatchOverride): readonly string[] {
  const rule = pack.rules.get(override.watch);
  if (rule !== undefined) return overrideRule(rule, override).problems;
  const monitor = pack.monitors.get(override.watch);
  if (monitor !== undefined) return overrideMonitor(monitor, override).problems;
  return [`pack ${pack.name} has no rule or monitor '${override.watch}'${didYouMean(override.watch, namesIn(pack))}`];
}
