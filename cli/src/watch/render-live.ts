import { createColors } from 'picocolors';
import type { Screen } from '../io.ts';
import { countsText, exitText, noteText, statePaint, words } from '../render/states.ts';
import { type Column, renderTable } from '../render/table.ts';
import { assignments, fit, formatCount, plural } from '../render/text.ts';
import { formatDuration } from '../render/time.ts';
import { type DispatchView, isOpen, type StateView } from '../views/run.ts';
import { at } from '../views/values.ts';
import { byName, type RunModel } from './model.ts';

/** What draws the eye first when not every target fits on the screen. */
const INTEREST: readonly StateView[] = [
  'lost',
  'failed',
  'timed_out',
  'rejected',
  'expired',
  'cancelled',
  'unknown',
  'running',
  'accepted',
  'sent',
  'queued',
  'succeeded',
];

/** The lines to show now; never more than the terminal is high (one is left for the cursor), never wider than it is. Pure. */
export function renderLive(model: RunModel, screen: Screen, nowMs: number): string[] {
  const footer = [progressLine(model, screen, nowMs)];
  const title = titleLine(model, screen);
  // Title, table head, footer, the cursor's line.
  const room = Math.max(1, screen.rows - 4);
  const all = model.dispatches.size;
  const shown =
    all <= room ? [...model.dispatches.values()].sort(byName) : mostInteresting(model, Math.max(1, room - 1));
  const table = renderTable(dispatchColumns(screen, nowMs), shown, screen.columns);
  const rest = all - shown.length;
  const more = rest > 0 ? [createColors(screen.color).dim(fit(`… and ${formatCount(rest)} more`, screen.columns))] : [];
  const lines = [title, ...table, ...more, ...footer];
  return lines.length < screen.rows ? lines : footer;
}

function titleLine(model: RunModel, screen: Screen): string {
  const { run } = model;
  const paint = createColors(screen.color);
  const text = fit(`${run.task} on ${plural(run.targetCount, 'target')}   run ${run.id}`, screen.columns);
  return paint.bold(text);
}

const LOOKED_AT = 1_000;

function mostInteresting(model: RunModel, room: number): DispatchView[] {
  const byState = new Map<StateView, DispatchView[]>();
  for (const dispatch of model.dispatches.values()) {
    const list = byState.get(dispatch.state);
    if (list === undefined) byState.set(dispatch.state, [dispatch]);
    else list.push(dispatch);
  }
  const shown: DispatchView[] = [];
  for (const state of INTEREST) {
    // Ten times a second: of 50,000 queued ones only some are looked at.
    const list = (byState.get(state) ?? []).slice(0, LOOKED_AT);
    shown.push(...list.sort(state === 'succeeded' ? latestEndFirst : byName).slice(0, room - shown.length));
    if (shown.length >= room) break;
  }
  return shown;
}

function latestEndFirst(a: DispatchView, b: DispatchView): number {
  return (at(b.endedAt) ?? 0) - (at(a.endedAt) ?? 0);
}

export function dispatchColumns(screen: Pick<Screen, 'color'>, nowMs: number): Column<DispatchView>[] {
  return [
    { title: 'AGENT', cell: (row) => row.agent, shrinks: true },
    {
      title: 'STATE',
      cell: (row) => words(row.state),
      paint: (text, row) => statePaint(row.state, screen.color)(text),
    },
    { title: 'DURATION', cell: (row) => durationText(row, nowMs) },
    { title: 'EXIT', cell: exitText },
    { title: 'NOTE', cell: noteText, shrinks: true },
  ];
}

function durationText(dispatch: DispatchView, nowMs: number): string {
  if (dispatch.durationMs !== null) return formatDuration(dispatch.durationMs);
  const started = at(dispatch.startedAt);
  return dispatch.state === 'running' && started !== null ? formatDuration(nowMs - started) : '';
}

/** "██████░░░░  12/20   10 succeeded, 2 failed, 8 running   3.2s" */
export function progressLine(model: RunModel, screen: Screen, nowMs: number): string {
  const { run } = model;
  const done = doneCount(model);
  const total = Math.max(run.targetCount, 1);
  const barWidth = screen.columns >= 70 ? 20 : screen.columns >= 40 ? 10 : 0;
  const full = Math.floor((done / total) * barWidth);
  const bar = barWidth === 0 ? '' : `${'█'.repeat(full)}${'░'.repeat(barWidth - full)}  `;
  const created = at(run.createdAt) ?? nowMs;
  const elapsed = formatDuration((at(run.endedAt) ?? nowMs) - created);
  const head = `${bar}${formatCount(done)}/${formatCount(run.targetCount)}   `;
  const plain = `${head}${countsText(run.counts)}   ${elapsed}`;
  if (fit(plain, screen.columns) !== plain) return fit(plain, screen.columns);
  return `${head}${countsText(run.counts, screen.color)}   ${elapsed}`;
}

export function doneCount(model: RunModel): number {
  let done = 0;
  for (const [state, count] of Object.entries(model.run.counts)) if (!isOpen(state as StateView)) done += count ?? 0;
  return done;
}

/** A terminal is not flooded with what went well; a pipe gets every target. */
const COLLAPSE_OVER = 60;

/** The table and the summary at the end. Every target that did not succeed is in it, always. Pure. */
export function renderFinal(model: RunModel, screen: Screen, nowMs: number): string[] {
  const all = [...model.dispatches.values()].sort(byName);
  const collapse = screen.isTTY && all.length > COLLAPSE_OVER;
  const shown = collapse ? all.filter((each) => each.state !== 'succeeded') : all;
  const left = all.length - shown.length;
  const columns = dispatchColumns(screen, nowMs);
  // On a machine a task sees the machine; elsewhere one has to know.
  if (shown.some(({ view }) => view !== null && view !== 'machine'))
    columns.splice(-1, 0, { title: 'SAW', cell: ({ view }) => view ?? '' });
  if (Object.keys(model.run.parametersFrom).length > 0)
    columns.splice(-1, 0, { title: 'PUT IN', cell: putInText, shrinks: true });
  const lines = shown.length === 0 ? [] : renderTable(columns, shown, screen.columns);
  if (left > 0)
    lines.push(
      `… and ${formatCount(left)} that succeeded; to list them:`,
      `  openline runs show ${model.run.id} | cat`,
    );
  return lines;
}

/** With which values of its own a target ran. */
function putInText({ parametersFrom, startedAt }: DispatchView): string {
  if (parametersFrom !== null) return assignments(parametersFrom);
  return startedAt === null ? '' : 'not reported by this agent';
}

/** "linux/uptime on 3 targets: 2 succeeded, 1 failed in 3.2s"; the run's id would make it wider than a terminal of 80 columns. */
export function summaryLine(model: RunModel, screen: Pick<Screen, 'color'>, nowMs: number): string {
  const { run } = model;
  const elapsed = formatDuration((at(run.endedAt) ?? nowMs) - (at(run.createdAt) ?? nowMs));
  const end = run.outcome === 'open' ? `for ${elapsed} so far` : `in ${elapsed}`;
  return `${run.task} on ${plural(run.targetCount, 'target')}: ${countsText(run.counts, screen.color)} ${end}`;
}
