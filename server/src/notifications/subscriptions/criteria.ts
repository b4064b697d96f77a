import { didYouMean, SEVERITIES } from '@openline/packs';
import { createCelBase } from '@openline/packs/cel';
import { selects } from '../../agents/selector.ts';
import type { Alert } from '../../alerts/alert.ts';
import type { Criteria } from './subscription.ts';

/** Whether an alert is one that a subscription is about. Pure. */
export function matches(criteria: Criteria, alert: Alert): boolean {
  const { subject, severity } = alert;
  return (
    SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf(criteria.severity) &&
    (criteria.kinds.size === 0 || criteria.kinds.has(subject.kind)) &&
    (criteria.watches.length === 0 || criteria.watches.some((glob) => globMatches(glob, subject.watch))) &&
    (criteria.agents === undefined ||
      selects(criteria.agents, { id: subject.agentId, name: alert.agentName, labels: alert.labels, facts: {} })) &&
    (criteria.where?.(alert) ?? true)
  );
}

/** `*` stands for any characters, everything else for itself. Takes time in proportion to both lengths, whatever the glob. */
export function globMatches(glob: string, text: string): boolean {
  let at = 0;
  let next = 0;
  let star = -1;
  let retry = 0;
  while (at < text.length) {
    if (glob[next] === '*') {
      star = next++;
      retry = at;
    } else if (glob[next] === text[at]) {
      next++;
      at++;
    } else if (star >= 0) {
      // The last star takes one more character.
      next = star + 1;
      at = ++retry;
    } else return false;
  }
  while (glob[next] === '*') next++;
  return next === glob.length;
}

class AlertView {}
const TEXTS = ['id', 'kind', 'agent', 'agent_id', 'watch', 'key', 'severity', 'title', 'description', 'state', 'owner'];

function environment() {
  const env = createCelBase();
  const fields = {
    ...Object.fromEntries(TEXTS.map((name) => [name, 'string'])),
    count: 'int',
    labels: 'map<string, string>',
  };
  env.registerType('Alert', { ctor: AlertView, fields });
  env.registerVariable('alert', 'Alert');
  return env;
}

let shared: ReturnType<typeof environment> | undefined;

export class ConditionError extends Error {
  override readonly name = 'ConditionError';
  /** Characters from the beginning of the expression. */
  readonly at: number;
  constructor(at: number, message: string) {
    super(message);
    this.at = at;
  }
}

/** @throws ConditionError with its place, when it is no condition over `alert` */
export function compileCondition(text: string): (alert: Alert) => boolean {
  shared ??= environment();
  const { valid, type, error } = shared.check(text);
  if (!valid)
    throw new ConditionError(error?.range?.start ?? 0, inWords(error?.summary ?? 'this is no CEL expression'));
  if (type !== 'bool' && type !== 'dyn')
    throw new ConditionError(0, `this gives ${type}, where true or false is needed`);
  const evaluate = shared.parse(text);
  return (alert) => {
    try {
      return evaluate({ alert: celView(alert) }) === true;
    } catch {
      return false; // e.g. a label that the agent does not have
    }
  };
}

function inWords(summary: string): string {
  const key = /^No such key: (.*)$/.exec(summary)?.[1];
  if (key !== undefined) return `an alert has no '${key}'${didYouMean(key, [...TEXTS, 'count', 'labels'])}`;
  const variable = /^Unknown variable: (.*)$/.exec(summary)?.[1];
  if (variable !== undefined) return `there is no '${variable}' here; there is 'alert'`;
  return summary.charAt(0).toLowerCase() + summary.slice(1);
}

function celView(alert: Alert): AlertView {
  const { subject, labels, agentName, count, ...rest } = alert;
  return Object.assign(new AlertView(), {
    ...rest,
    kind: subject.kind,
    agent: agentName,
    agent_id: subject.agentId,
    watch: subject.watch,
    key: subject.key,
    count: BigInt(count),
    labels: new Map(Object.entries(labels)),
  });
}
