import type { Scope } from '../cel/check.ts';
import { type About, sampleOfProcess, type WatchOverride } from '../engine/index.ts';
import { PackError } from '../errors.ts';
import { EVENT_LEVELS, SEVERITIES } from '../monitoring.ts';
import type { Pack } from '../pack.ts';
import { API_VERSION } from '../parse.ts';
import {
  booleanOf,
  choiceOf,
  durationOf,
  entriesOf,
  type Fields,
  fieldsOf,
  integerOf,
  itemsOf,
  need,
  textOf,
} from '../read.ts';
import { type Located, plain, type Report, readDocuments } from '../source.ts';
import { createExpressionReader, type ExpressionReader } from '../watch/expressions.ts';
import type { CaseAction, CaseStep, PackCase } from './case.ts';
import { readExpectation, readWatch } from './expect.ts';

const MAX_FILE_BYTES = 1024 * 1024;
const MAX_CASES = 500;
const MAX_STEPS = 200;
const MAX_REPEAT = 10_000;
const DAY_MS = 24 * 3600 * 1000;
const TIME_MS = { min: 0, max: 90 * DAY_MS };

interface Reader {
  readonly report: Report;
  readonly expressions: ExpressionReader;
  readonly pack: Pack;
  readonly lineAt: (at: number) => number;
}

const REPEATED: Scope = { variables: ['i'], settings: {}, groups: [] };

/**
 * Reads a file of cases for a pack.
 * @param fileName only for the positions in messages
 * @throws PackError PACK_INVALID with every problem found
 */
export function parseCases(content: Uint8Array, fileName: string, pack: Pack): readonly PackCase[] {
  const { report, documents } = readDocuments(content, "a pack's tests", MAX_FILE_BYTES);
  const [document, second] = documents;
  const text = new TextDecoder().decode(content);
  const lineAt = (at: number) => text.slice(0, at).split('\n').length;
  if (second !== undefined) report.add(second.root.at, 'tests of a pack are one document');
  if (document === undefined && report.count() === 0) report.add(0, 'there is nothing in this file');
  const reader: Reader = { report, expressions: createExpressionReader(report), pack, lineAt };
  const cases = document === undefined ? [] : readFile(reader, document.root);
  const issues = report.issues();
  if (issues.length > 0) throw new PackError(fileName, issues);
  return cases;
}

function readFile(reader: Reader, root: Located): readonly PackCase[] {
  const { report } = reader;
  const fields = fieldsOf(report, root, 'the tests', ['apiVersion', 'kind', 'agent', 'cases']);
  choiceOf(
    report,
    need(report, root.at, fields.apiVersion?.value, `tests need 'apiVersion: ${API_VERSION}'`),
    "'apiVersion'",
    [API_VERSION],
  );
  choiceOf(report, need(report, root.at, fields.kind?.value, "tests need 'kind: PackTest'"), "'kind'", ['PackTest']);
  const about = readAgent(reader, fields.agent?.value, { agentName: 'agent', labels: {}, facts: {} });
  const node = need(report, root.at, fields.cases?.value, "tests need 'cases'");
  const items = itemsOf(report, node, "'cases'");
  if (items.length > MAX_CASES) report.add(node?.at ?? 0, `a file has at most ${MAX_CASES} cases`);
  if (node?.kind === 'list' && items.length === 0) report.add(node.at, "'cases' has no case");
  return items.map((item) => readCase(reader, item, about));
}

function readAgent({ report }: Reader, node: Located | undefined, base: About): About {
  const fields = fieldsOf(report, node, "'agent'", ['name', 'labels', 'facts']);
  return {
    agentName: textOf(report, fields.name?.value, "'name'", 253) ?? base.agentName,
    labels: { ...base.labels, ...readTexts(report, fields.labels?.value, "'labels'") },
    facts: { ...base.facts, ...readTexts(report, fields.facts?.value, "'facts'") },
  };
}

function readTexts(report: Report, node: Located | undefined, what: string): Record<string, string> {
  const texts: Record<string, string> = {};
  for (const [name, { value }] of entriesOf(report, node, what)) {
    const text = textOf(report, value, `'${name}'`, 1000);
    if (text !== undefined) texts[name] = text;
  }
  return texts;
}

function readCase(reader: Reader, node: Located, base: About): PackCase {
  const { report } = reader;
  const fields = fieldsOf(report, node, 'a case', ['title', 'agent', 'overrides', 'allowErrors', 'steps']);
  const title = need(report, node.at, fields.title?.value, "a case needs a 'title': what it shows");
  const stepsNode = need(report, node.at, fields.steps?.value, "a case needs 'steps'");
  const items = itemsOf(report, stepsNode, "'steps'");
  if (items.length > MAX_STEPS) report.add(stepsNode?.at ?? 0, `a case has at most ${MAX_STEPS} steps`);
  const steps: CaseStep[] = [];
  let nowMs = 0;
  for (const item of items) {
    const step = readStep(reader, item, nowMs);
    nowMs = step.atMs + step.everyMs * (step.repeat - 1);
    steps.push(step);
  }
  if (items.length > 0 && steps.every(({ expect }) => expect === undefined)) {
    report.add(node.at, "this case cannot fail: no step of it says 'expect'");
  }
  return {
    title: textOf(report, title, "'title'", 200) ?? '',
    line: reader.lineAt(node.at),
    about: readAgent(reader, fields.agent?.value, base),
    overrides: itemsOf(report, fields.overrides?.value, "'overrides'").map((item) => readOverride(reader, item)),
    allowErrors: booleanOf(report, fields.allowErrors?.value, "'allowErrors'") ?? false,
    steps,
  };
}

function readOverride(reader: Reader, node: Located): WatchOverride {
  const { report, pack } = reader;
  const fields = fieldsOf(report, node, 'an override', ['watch', 'enabled', 'severity', 'settings']);
  const watchNode = need(
    report,
    node.at,
    fields.watch?.value,
    "an override needs 'watch', the name of a rule or monitor",
  );
  return {
    pack: pack.name,
    watch: readWatch(reader, watchNode, "'watch'", [...pack.rules.keys(), ...pack.monitors.keys()]),
    enabled: booleanOf(report, fields.enabled?.value, "'enabled'"),
    severity: choiceOf(report, fields.severity?.value, "'severity'", SEVERITIES),
    settings: Object.fromEntries(
      [...entriesOf(report, fields.settings?.value, "'settings'")].map(([name, { value }]) => [name, plain(value)]),
    ),
  };
}

const ACTIONS = ['event', 'sample', 'reset'] as const;

function readStep(reader: Reader, node: Located, notBeforeMs: number): CaseStep {
  const { report } = reader;
  const fields = fieldsOf(report, node, 'a step', ['at', 'repeat', 'every', 'expect', ...ACTIONS]);
  const atMs = durationOf(report, fields.at?.value, "'at'", TIME_MS) ?? notBeforeMs;
  if (atMs < notBeforeMs)
    report.add(fields.at?.value.at ?? node.at, "'at' is before the step before it: time only goes on");
  const repeat = integerOf(report, fields.repeat?.value, "'repeat'", 1, MAX_REPEAT) ?? 1;
  const everyMs = durationOf(report, fields.every?.value, "'every'", { min: 0, max: DAY_MS }) ?? 0;
  if (fields.every !== undefined && fields.repeat === undefined) {
    report.add(fields.every.keyAt, "'every' says how far apart repetitions are, and goes with 'repeat'");
  }
  const [kind, second] = ACTIONS.filter((action) => fields[action] !== undefined);
  if (second !== undefined) report.add(node.at, 'a step has at most one of event, sample, reset');
  return {
    line: reader.lineAt(node.at),
    atMs: Math.max(atMs, notBeforeMs),
    repeat,
    everyMs,
    action: kind === undefined ? undefined : readAction(reader, kind, fields),
    expect: readExpectation(reader, fields.expect?.value),
  };
}

function readAction(
  reader: Reader,
  kind: (typeof ACTIONS)[number],
  fields: Fields<(typeof ACTIONS)[number]>,
): CaseAction | undefined {
  const node = fields[kind]?.value;
  if (node === undefined) return undefined;
  switch (kind) {
    case 'event':
      return readEvent(reader, node);
    case 'sample':
      return readSample(reader, node);
    case 'reset': {
      const given = fieldsOf(reader.report, node, "'reset'", ['monitor', 'instance']);
      return {
        kind,
        monitor: readMonitorName(reader, node, given.monitor?.value),
        instance: textOf(reader.report, given.instance?.value, "'instance'", 200) ?? '',
      };
    }
    default:
      return kind satisfies never;
  }
}

function readEvent({ report, expressions }: Reader, node: Located): CaseAction {
  const fields = fieldsOf(report, node, "'event'", ['log', 'source', 'id', 'level', 'message', 'data', 'ago']);
  const text = (field: 'log' | 'source' | 'id' | 'message', fallback: string, chars: number) =>
    expressions.template(fields[field]?.value, `'${field}'`, REPEATED, chars) ?? fallback;
  const data = fields.data?.value;
  if (data !== undefined) {
    entriesOf(report, data, "'data'");
    expressions.templates(data, "'data'", REPEATED);
  }
  return {
    kind: 'event',
    log: text('log', 'test', 512),
    source: text('source', 'test', 512),
    id: text('id', '', 512),
    level: choiceOf(report, fields.level?.value, "'level'", EVENT_LEVELS) ?? 'info',
    message: text('message', '', 64 * 1024),
    data: data === undefined ? {} : plain(data),
    agoMs: durationOf(report, fields.ago?.value, "'ago'", TIME_MS) ?? 0,
  };
}

function readSample(reader: Reader, node: Located): CaseAction {
  const { report, expressions } = reader;
  const fields = fieldsOf(report, node, "'sample'", ['monitor', 'value', 'error', 'stdout', 'stderr', 'exitCode']);
  const monitor = readMonitorName(reader, node, fields.monitor?.value);
  if (['value', 'error', 'stdout'].filter((field) => Object.hasOwn(fields, field)).length !== 1) {
    report.add(node.at, "a sample has exactly one of 'value', 'error', 'stdout' (with 'stderr' and 'exitCode')");
  }
  if (fields.value !== undefined) {
    expressions.templates(fields.value.value, "'value'", REPEATED);
    return { kind: 'sample', monitor, given: { kind: 'value', value: plain(fields.value.value) } };
  }
  const error = textOf(report, fields.error?.value, "'error'", 1000);
  if (error !== undefined) return { kind: 'sample', monitor, given: { kind: 'result', result: { ok: false, error } } };
  const input = reader.pack.monitors.get(monitor)?.input;
  const output = input?.kind === 'probe' && input.probe.kind === 'run' ? input.probe.output : 'json';
  const result = sampleOfProcess(output, {
    exitCode: integerOf(report, fields.exitCode?.value, "'exitCode'", 0, 255) ?? 0,
    stdout: outputOf(report, fields.stdout?.value, "'stdout'"),
    stderr: outputOf(report, fields.stderr?.value, "'stderr'"),
  });
  return { kind: 'sample', monitor, given: { kind: 'result', result } };
}

function outputOf(report: Report, node: Located | undefined, what: string): string {
  if (node?.kind === 'scalar' && node.value === '') return '';
  return textOf(report, node, what, 256 * 1024) ?? '';
}

function readMonitorName(reader: Reader, at: Located, node: Located | undefined): string {
  const given = need(reader.report, at.at, node, "this needs 'monitor', the name of a monitor");
  return readWatch(reader, given, "'monitor'", [...reader.pack.monitors.keys()]);
}
