import { compileWatches, createEngine, type Engine, type Outcome } from '../engine/index.ts';
import { compileValue } from '../engine/texts.ts';
import type { Pack } from '../pack.ts';
import type { CaseAction, CaseStep, PackCase } from './case.ts';
import { differences } from './compare.ts';

export interface CaseResult {
  readonly title: string;
  readonly line: number;
  readonly failures: readonly CaseFailure[];
  /** Rules and monitors of which something came that was expected. */
  readonly touched: ReadonlySet<string>;
}

export interface CaseFailure {
  /** Of the step, in the file. */
  readonly line: number;
  readonly atMs: number;
  readonly differences: readonly string[];
}

/** Any moment does; this one is easy to read in an alert. */
const BEGIN_UNIX_MS = Date.UTC(2026, 0, 1);
/** Time between two steps passes in the engine's own steps; more than this is an engine that does not get on. */
const MAX_TICKS = 10_000;

/** Plays one case against a new engine. Its time is the case's alone. */
export function runCase(pack: Pack, packCase: PackCase): CaseResult {
  const { title, line, about, overrides, steps } = packCase;
  const watches = compileWatches([pack], about, overrides);
  const failures: CaseFailure[] = watches.problems.map((problem) => ({ line, atMs: 0, differences: [problem] }));
  const engine = createEngine(watches);
  const touched = new Set<string>();
  // That monitors of events begin is no answer to anything the case tells.
  engine.tick(BEGIN_UNIX_MS);
  let nowMs = 0;
  for (const step of steps) {
    const outcomes = runStep(engine, pack, step, nowMs);
    nowMs = step.atMs + step.everyMs * (step.repeat - 1);
    const seen = seenOf(outcomes);
    if (step.expect !== undefined) for (const name of namesOf(seen, pack)) touched.add(name);
    const found = compareStep(step, seen);
    if (found.length > 0) failures.push({ line: step.line, atMs: nowMs, differences: found });
  }
  for (const { watch, lastError, errors } of engine.health()) {
    // What cannot be worked out counts as no match, which a case would take for good.
    if (errors === 0 || packCase.allowErrors) continue;
    failures.push({
      line,
      atMs: nowMs,
      differences: [`${watch.name}: an expression failed, ${errors} times: ${lastError}`],
    });
  }
  return { title, line, failures, touched };
}

function runStep(engine: Engine, pack: Pack, step: CaseStep, fromMs: number): Outcome[] {
  const outcomes: Outcome[] = [];
  let nowMs = fromMs;
  for (let i = 0; i < step.repeat; i++) {
    const atMs = step.atMs + i * step.everyMs;
    outcomes.push(...passTime(engine, nowMs, atMs));
    nowMs = atMs;
    if (step.action !== undefined) outcomes.push(...perform(engine, pack, step.action, i, BEGIN_UNIX_MS + atMs));
  }
  return outcomes;
}

/** As an agent does: each time that something is due. */
function passTime(engine: Engine, fromMs: number, toMs: number): Outcome[] {
  const outcomes: Outcome[] = [];
  const to = BEGIN_UNIX_MS + toMs;
  for (let ticks = 0; ; ticks++) {
    if (ticks > MAX_TICKS) throw new Error(`more than ${MAX_TICKS} things were due between ${fromMs} and ${toMs} ms`);
    const due = engine.dueAtUnixMs();
    if (due === undefined || due > to) break;
    outcomes.push(...engine.tick(Math.max(due, BEGIN_UNIX_MS + fromMs)));
  }
  return outcomes;
}

function perform(engine: Engine, pack: Pack, action: CaseAction, i: number, nowUnixMs: number): readonly Outcome[] {
  const fill = (value: unknown) => compileValue(value)({ i: BigInt(i) });
  switch (action.kind) {
    case 'event': {
      const { log, source, id, level, message, data, agoMs } = action;
      const texts = { log, source, id, message };
      const filled = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, String(fill(text))]));
      const { log: l = '', source: s = '', id: d = '', message: m = '' } = filled;
      const fields = fill(data);
      return engine.event(
        {
          log: l,
          source: s,
          id: d,
          level,
          message: m,
          data: isRecord(fields) ? fields : {},
          atUnixMs: nowUnixMs - agoMs,
        },
        nowUnixMs,
      );
    }
    case 'sample': {
      const { monitor, given } = action;
      const result = given.kind === 'result' ? given.result : ({ ok: true, sample: fill(given.value) } as const);
      return engine.sample(pack.name, monitor, result, nowUnixMs);
    }
    case 'reset':
      return engine.reset(pack.name, action.monitor, action.instance, nowUnixMs);
    default:
      return action satisfies never;
  }
}

interface Seen {
  readonly detections: readonly { readonly rule: string }[];
  readonly states: readonly { readonly monitor: string }[];
  readonly metrics: readonly { readonly metric: string }[];
}

/** As a case speaks of them: names alone, since a case is of one pack. */
function seenOf(outcomes: readonly Outcome[]): Seen {
  const detections = outcomes.flatMap((outcome) => {
    if (outcome.kind !== 'detection') return [];
    const { rule, key, events, eventCount, alert, run } = outcome;
    return [{ rule: rule.name, key, events, count: eventCount, alert, run }];
  });
  const states = outcomes.flatMap((outcome) => {
    if (outcome.kind !== 'state') return [];
    const { monitor, kind: _kind, atUnixMs: _at, ...rest } = outcome;
    return [{ monitor: monitor.name, ...rest }];
  });
  const metrics = outcomes.flatMap((outcome) =>
    outcome.kind === 'metric' ? [{ metric: outcome.metric, count: outcome.count }] : [],
  );
  return { detections, states, metrics };
}

function namesOf({ detections, states, metrics }: Seen, pack: Pack): readonly string[] {
  const counting = [...pack.rules.values()].filter((rule) => metrics.some(({ metric }) => metric === rule.metric));
  return [
    ...detections.map(({ rule }) => rule),
    ...states.map(({ monitor }) => monitor),
    ...counting.map(({ name }) => name),
  ];
}

function compareStep({ expect }: CaseStep, seen: Seen): string[] {
  if (expect === undefined) return [];
  return (['detections', 'states', 'metrics'] as const).flatMap((kind) =>
    expect[kind] === undefined ? [] : differences(expect[kind], seen[kind], kind),
  );
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
