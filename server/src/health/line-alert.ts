import type { Severity } from '@openline/packs';
import type { AlertSubject } from '../alerts/alert.ts';
import type { AlertRaise } from '../alerts/alerts.ts';
import { type Verdict, verdictOfGroup } from './diagnosis.ts';
import { ALL, type Line, type Loss } from './line.ts';
import type { Outage } from './outages.ts';
import type { Part } from './parts.ts';

/** How the alerts of lines are worded. Pure. */

/** Who says it, in the history of the alert. */
export const BY = 'line';

export function subjectOf(agentId: string, watch: 'agent' | Part): AlertSubject {
  return { kind: 'line', agentId, watch, key: '' };
}

export function outageSubject(key: string): AlertSubject {
  return { kind: 'line', agentId: '', watch: 'group', key };
}

const TITLES = {
  agent: (name) => `${name}: the agent is down, its node is there`,
  node: (name) => `${name}: the node is down`,
  network: (name) => `${name}: the network to the node is down`,
  stopped: (name) => `${name}: the agent was stopped and has not come back`,
  removed: (name) => `${name}: the node was removed`,
  unknown: (name) => `${name}: the line is lost`,
} as const satisfies Record<Verdict, (name: string) => string>;

const MEANINGS = {
  agent: 'The node answers, the agent does not: it has ended, or it hangs. Look at its log on the node.',
  node: 'Neither the agent nor its node answers, while others do.',
  network: 'Nothing answers from here, and nothing says that the node itself is down.',
  stopped: 'It said goodbye when it was stopped. Start it again, or delete the agent if it is not needed any more.',
  removed: 'Kubernetes knows its node no more.',
  unknown: 'It could not be found out whether the agent, its node or the network is down.',
} as const satisfies Record<Verdict, string>;

const LOSSES = {
  stopped: 'it said that it stops',
  broken: 'its connection ended',
  silent: 'its heartbeats stopped while its connection stayed open',
  unseen: 'it has not come back since this server started',
} as const satisfies Record<Loss['ended'], string>;

/** @returns undefined: no alert of its own tells of it */
export function lineAlert({ agent, state }: Line): AlertRaise | undefined {
  if (state.kind !== 'down' || state.cover.kind !== 'own') return undefined;
  const { loss, verdict, evidence } = state;
  return {
    kind: 'raise',
    subject: subjectOf(agent.id, 'agent'),
    severity: severityOf(verdict, agent.heartbeat.severity),
    severityMay: 'follow',
    title: TITLES[verdict](agent.name),
    description: [
      MEANINGS[verdict],
      `Last heard ${at(loss)}: ${LOSSES[loss.ended]}${loss.why === '' ? '' : ` (${loss.why})`}.`,
      ...(evidence?.notes ?? ['Its node was not looked at.']),
    ].join('\n'),
    by: BY,
  };
}

/** Somebody meant it, at least at first. */
function severityOf(verdict: Verdict, severity: Severity): Severity {
  return verdict === 'stopped' && severity === 'critical' ? 'warning' : severity;
}

function at({ sinceUnixMs }: Loss): string {
  return `at ${new Date(sinceUnixMs).toISOString()}`;
}

const GROUP_MEANINGS = {
  agent: 'Their nodes answer: the agents have ended together, as after a change that was rolled out to all of them.',
  node: 'Their nodes are down.',
  network: 'None of their nodes answers: it is what they share, such as power or network.',
  stopped: 'They said goodbye when they were stopped, and have not come back.',
  removed: 'Kubernetes knows their nodes no more.',
  unknown: 'It could not be found out why.',
} as const satisfies Record<Verdict, string>;

const NAMED = 20;

/** @param size how many agents the group has. @param lost its members that are away, as they are known now */
export function outageAlert(outage: Outage, size: number, lost: readonly Line[]): AlertRaise & { verdict: Verdict } {
  const { group, members, sinceUnixMs } = outage;
  const verdict = verdictOfGroup(lost.flatMap(({ state }) => (state.kind === 'down' ? [state.verdict] : [])));
  const whole = group.key === ALL;
  const [label = '', value = ''] = whole ? [] : splitKey(group.key);
  const name = whole ? 'all agents' : group.key;
  const back = outage.lost - members.size;
  const names = lost.map(({ agent }) => agent.name).sort();
  const severities = lost.map(({ agent }) => agent.heartbeat.severity);
  return {
    kind: 'raise',
    subject: outageSubject(group.key),
    severity: severityOf(verdict, worst(severities)),
    severityMay: 'follow',
    title: `${name}: ${members.size} of ${size} agents lost their lines together`,
    description: [
      GROUP_MEANINGS[verdict],
      `Lost since ${new Date(sinceUnixMs).toISOString()}: ${outage.lost}${back === 0 ? '' : `; ${back} of them are back`}.`,
      `Away: ${names.slice(0, NAMED).join(', ')}${names.length > NAMED ? ` and ${names.length - NAMED} more` : ''}.`,
    ].join('\n'),
    by: BY,
    group: { name, labels: whole ? {} : { [label]: value } },
    verdict,
  };
}

function splitKey(key: string): [string, string] {
  const at = key.indexOf('=');
  return [key.slice(0, at), key.slice(at + 1)];
}

function worst(severities: readonly Severity[]): Severity {
  if (severities.includes('critical')) return 'critical';
  return severities.includes('warning') ? 'warning' : (severities[0] ?? 'critical');
}

const PART_TITLES = {
  executor: (name) => `${name}: the agent runs no tasks`,
  rules: (name) => `${name}: the rules and monitors of the agent do not work`,
} as const satisfies Record<Part, (name: string) => string>;

export function partAlert(part: Part, line: Line, problem: string): AlertRaise {
  const { agent } = line;
  return {
    kind: 'raise',
    subject: subjectOf(agent.id, part),
    severity: agent.heartbeat.severity,
    severityMay: 'follow',
    title: PART_TITLES[part](agent.name),
    description: `It is connected and its heartbeats come, but ${part === 'executor' ? 'its executor' : 'its rule engine'} does not work: ${problem}.`,
    by: BY,
  };
}
