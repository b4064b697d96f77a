import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { describeAgentMetrics } from '../agent/src/telemetry/metrics.ts';
import { describeMetrics } from '../server/src/telemetry/metrics.ts';

const root = join(import.meta.dirname, '..');
const read = (...path: string[]) => readFileSync(join(root, ...path), 'utf8');

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}
interface Case {
  readonly name: string;
  readonly alert_rule_test: readonly { readonly alertname: string; readonly exp_alerts: readonly unknown[] }[];
}

const rules = (parse(read('charts/openline/rules/openline.yaml')).groups as { rules: Rule[] }[]).flatMap(
  (group) => group.rules,
);
const cases = parse(read('charts/openline/rules/openline.test.yaml')).tests as Case[];
const runbooks = read('docs/runbooks.md');

describe.each(rules.map((rule) => [rule.alert, rule] as const))(
  'the alert %s',
  (alert, { expr, labels, annotations }) => {
    it('says how bad it is, what happened and what it means', () => {
      expect(['critical', 'warning']).toContain(labels['severity']);
      expect(annotations['summary']).toMatch(/\.$/);
      expect(annotations['description']).toMatch(/\.$/);
    });

    it('has a runbook: what it means, what follows, how to look, what to do', () => {
      expect(annotations['runbook_url']).toBe(`docs/runbooks.md#${alert.toLowerCase()}`);
      const section = new RegExp(`^## ${alert}\\n(.*?)(?=^## |(?![\\s\\S]))`, 'ms').exec(runbooks)?.[1] ?? '';
      for (const part of ['Means.', 'Impact.', 'Look.', 'Do.']) expect(section).toContain(`**${part}**`);
    });

    it('asks only for metrics that there are', () => {
      const known = new Set([...describeMetrics(), ...describeAgentMetrics()].map(({ name }) => name));
      const named = Array.from(expr.matchAll(/\b(?:openline|process)_\w+/g), ([name]) => name.replace(/_bucket$/, ''));
      expect(named.filter((name) => !known.has(name))).toEqual([]);
    });

    it('is tested for firing and for silence', () => {
      const tested = cases
        .flatMap(({ alert_rule_test }) => alert_rule_test)
        .filter(({ alertname }) => alertname === alert);
      expect(tested.map(({ exp_alerts }) => exp_alerts.length > 0).sort()).toEqual([false, true]);
    });
  },
);

it('no runbook and no test is of an alert that is gone', () => {
  const names = rules.map(({ alert }) => alert);
  const headings = Array.from(runbooks.matchAll(/^## (\w+)$/gm), ([, name]) => name);
  expect(headings).toEqual(names);
  const tested = cases.flatMap(({ alert_rule_test }) => alert_rule_test).map(({ alertname }) => alertname);
  expect(tested.filter((name) => !names.includes(name))).toEqual([]);
});
