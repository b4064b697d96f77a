import { randomUUID } from 'node:crypto';
import { RunServiceService } from '@openline/proto/operator';
import type { OperatorClient } from '../client/client.ts';
import { CliError, EXIT, usageError } from '../failure.ts';
import type { Io, Screen } from '../io.ts';
import { printDocument, printItems, printLines } from '../render/document.ts';
import { countsText } from '../render/states.ts';
import { type Column, renderTable } from '../render/table.ts';
import { formatAge, formatDuration } from '../render/time.ts';
import { isOpen, type RunView, runView } from '../views/run.ts';
import { at } from '../views/values.ts';
import { followRun, printerFor } from '../watch/follow.ts';
import { interruptedBy } from '../watch/interrupts.ts';
import { applyWatch, byName, documentOf } from '../watch/model.ts';
import { renderFinal, summaryLine } from '../watch/render-live.ts';
import { outputOf, sayMissing } from '../watch/run-output.ts';
import { readOutput } from '../watch/streams.ts';
import { createTally } from '../watch/tally.ts';
import { type GlobalFlags, type OutputFlag, withClient } from './context.ts';
import { checkWatchFlags, detachOrFollow, followOptions, splitTask, type WatchFlags } from './run.ts';

export function listRuns(
  flags: OutputFlag & { limit: string; open?: boolean | undefined; task?: string | undefined },
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  const limit = Number(flags.limit);
  if (!Number.isInteger(limit) || limit < 1) throw usageError('--limit is not a whole number above 0');
  if (flags.task !== undefined) splitTask(flags.task);
  return withClient(global, io, async (client) => {
    const runs: RunView[] = [];
    let pageToken = '';
    do {
      const page = await client.unary(RunServiceService.listRuns, {
        limit: Math.min(1000, limit - runs.length),
        pageToken,
        openOnly: flags.open === true,
        task: flags.task ?? '',
      });
      runs.push(...page.runs.map(runView));
      pageToken = page.nextPageToken;
    } while (pageToken !== '' && runs.length < limit);
    if (flags.output !== 'table') await printItems(io, flags.output, runs);
    else if (runs.length === 0)
      io.err.write(
        flags.open === true || flags.task !== undefined
          ? 'no such run\n→ `openline runs` without --open and --task lists them all\n'
          : 'no runs yet\n→ `openline run PACK/TASK --on TARGETS` makes one\n',
      );
    else printLines(io, renderRuns(runs, io.out.screen(), io.nowMs()));
    return EXIT.ok;
  });
}

/** Of an id, what names the run where a terminal has no room for all of it: its millisecond, and a bit of chance. */
const SHORT_ID_CHARS = 18;
const WIDE_COLUMNS = 120;

export function renderRuns(runs: readonly RunView[], screen: Pick<Screen, 'columns'>, nowMs: number): string[] {
  const columns: Column<RunView>[] = [
    { title: 'ID', cell: ({ id }) => (screen.columns < WIDE_COLUMNS ? id.slice(0, SHORT_ID_CHARS) : id) },
    { title: 'TASK', cell: (run) => run.task, shrinks: true },
    { title: 'STATE', cell: (run) => countsText(run.counts), shrinks: true },
    { title: 'TARGETS', cell: (run) => run.targets, shrinks: true },
    { title: 'BY', cell: (run) => run.requestedBy, shrinks: true },
    { title: 'STARTED', cell: (run) => formatAge(at(run.createdAt), nowMs) },
    {
      title: 'TOOK',
      cell: (run) => (run.endedAt === null ? '' : formatDuration((at(run.endedAt) ?? 0) - (at(run.createdAt) ?? 0))),
    },
  ];
  return renderTable(columns, runs, screen.columns);
}

/** The run whose id it is, or begins with it: a part that names one run is enough. */
function withRun(
  ref: string,
  global: GlobalFlags,
  io: Io,
  work: (client: OperatorClient, runId: string) => Promise<number>,
): Promise<number> {
  return withClient(global, io, async (client) => work(client, await runIdOf(client, ref)));
}

/** As far back as one page of the list reaches. @throws CliError RUN_UNKNOWN it is the beginning of several */
async function runIdOf(client: OperatorClient, ref: string): Promise<string> {
  if (!PART_OF_ID.test(ref)) return ref;
  const { runs } = await client.unary(RunServiceService.listRuns, {
    ...{ limit: 1000, pageToken: '', openOnly: false, task: '' },
  });
  const ids = runs.flatMap(({ id }) => (id.startsWith(ref.toLowerCase()) ? id : []));
  if (ids.length > 1)
    throw new CliError(
      'RUN_UNKNOWN',
      `${ids.length} runs begin with «${ref}»`,
      `Write more of it: ${ids.slice(0, 3).join(', ')}${ids.length > 3 ? ', …' : ''}`,
    );
  return ids[0] ?? ref;
}

/** Of a UUID; all of it is 36 characters. */
const PART_OF_ID = /^[0-9a-f][0-9a-f-]{5,34}$/i;

async function fetchModel(client: OperatorClient, runId: string) {
  const answer = await client.unary(RunServiceService.getRun, { runId });
  const applied = applyWatch(undefined, answer);
  if (applied === undefined)
    throw new CliError('INTERNAL', `the server said nothing of run ${runId}`, 'Upgrade the older of server and CLI.');
  return applied.model;
}

export function showRun(ref: string, flags: WatchFlags, global: GlobalFlags, io: Io): Promise<number> {
  return withRun(ref, global, io, async (client, runId) => {
    const model = await fetchModel(client, runId);
    if (flags.output !== 'table') {
      const document = documentOf(model);
      if (flags.showOutput === true) {
        for (const dispatch of document.dispatches)
          Object.assign(dispatch, await outputOf(client, runId, dispatch, io));
      }
      await printDocument(io, flags.output, document);
      return EXIT.ok;
    }
    const screen = io.out.screen();
    const { run } = model;
    const nowMs = io.nowMs();
    const facts: [string, string][] = [
      ['run', run.id],
      ['task', `${run.task} (pack version ${run.packVersion})`],
      ['targets', run.targets],
      ['parameters', JSON.stringify(run.parameters)],
      ...Object.entries(run.parametersFrom).map(([name, from]): [string, string] => ['from target', `${name}=${from}`]),
      ['by', `${run.requestedBy}, ${formatAge(at(run.createdAt), nowMs)}`],
      ...(run.endedAt === null && run.expiresAt !== null
        ? ([['expires', formatAge(at(run.expiresAt), nowMs)]] as [string, string][])
        : []),
      ...(run.retryOf === null ? [] : ([['retry of', run.retryOf]] as [string, string][])),
      ...(run.cancelledBy === null ? [] : ([['cancelled by', run.cancelledBy]] as [string, string][])),
    ];
    printLines(io, [
      ...facts.map(([key, value]) => `${`${key}:`.padEnd(14)}${value}`),
      '',
      ...renderFinal(model, screen, nowMs),
      '',
      summaryLine(model, screen, nowMs),
    ]);
    if (flags.showOutput === true) await printOutputs(client, runId, { targets: [], follow: false, from: 0 }, io);
    return EXIT.ok;
  });
}

export function watchRunCommand(ref: string, flags: WatchFlags, global: GlobalFlags, io: Io): Promise<number> {
  checkWatchFlags(flags);
  return withRun(ref, global, io, (client, runId) => followRun(client, runId, followOptions(flags), io));
}

export function outputCommand(
  ref: string,
  flags: { target?: readonly string[] | undefined; follow?: boolean | undefined; from?: string | undefined },
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  const from = Number(flags.from ?? 0);
  if (!Number.isSafeInteger(from) || from < 0) throw usageError('--from is not a number of bytes');
  return withRun(ref, global, io, async (client, runId) => {
    const query = { targets: flags.target ?? [], follow: flags.follow === true, from };
    return (await printOutputs(client, runId, query, io)) ? EXIT.ok : EXIT.notAll;
  });
}

/** @returns whether that was all that targets which have ended wrote; what is missing is said */
async function printOutputs(
  client: OperatorClient,
  runId: string,
  query: { targets: readonly string[]; follow: boolean; from: number },
  io: Io,
): Promise<boolean> {
  let model = await fetchModel(client, runId);
  const all = [...model.dispatches.values()].sort(byName);
  const chosen =
    query.targets.length === 0
      ? all
      : all.filter((each) => query.targets.includes(each.agent) || query.targets.includes(each.agentId));
  const missing = query.targets.find((name) => !chosen.some((each) => each.agent === name || each.agentId === name));
  if (missing !== undefined)
    throw new CliError(
      'AGENT_UNKNOWN',
      `run ${runId} has no target ${missing}`,
      `\`openline runs show ${runId}\` lists its targets.`,
    );
  if (query.from > 0 && chosen.length !== 1) throw usageError('--from needs exactly one target', 'Add --target NAME.');

  const stop = new AbortController();
  let interrupted: number | undefined;
  const off = io.onInterrupt((signal) => {
    interrupted = interruptedBy(signal);
    stop.abort();
    io.exitNow(interrupted);
  });
  const printer = printerFor(chosen, io);
  const everyOne = chosen.length === all.length && chosen.length !== 1;
  const agentIds = everyOne ? [] : chosen.map((each) => each.agentId);
  const request = { runId, agentIds, follow: query.follow, fromOffset: query.from };
  const patience = { signal: stop.signal, notice: (text: string) => io.err.write(`${text}\n`) };
  const tally = createTally(query.from);
  const current = () => chosen.map((each) => model.dispatches.get(each.agentId) ?? each);
  const isDone = async () => {
    if (query.follow) model = await fetchModel(client, runId);
    return !query.follow || current().every(({ state }) => !isOpen(state));
  };
  try {
    for await (const part of readOutput(client, request, patience, isDone)) {
      tally.part(part);
      printer.part(part);
      await io.out.drained();
    }
  } finally {
    printer.end();
    off();
  }
  const lines = tally.missing(runId, current());
  sayMissing(lines, io);
  return lines.length === 0;
}

export function cancelCommand(ref: string, flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  return withRun(ref, global, io, async (client, runId) => {
    const { run } = await client.unaryPatient(RunServiceService.cancelRun, { runId }, 10_000);
    if (run === undefined) return EXIT.ok;
    const view = runView(run);
    if (flags.output !== 'table') await printDocument(io, flags.output, view);
    else if (view.outcome !== 'open') io.out.write(`run ${runId} has ended: ${countsText(view.counts)}\n`);
    else io.out.write(`run ${runId} is being cancelled: ${countsText(view.counts)}\n`);
    return EXIT.ok;
  });
}

export function retryCommand(
  ref: string,
  flags: WatchFlags & { detach?: boolean | undefined; idempotencyKey?: string | undefined },
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  checkWatchFlags(flags);
  return withRun(ref, global, io, async (client, runId) => {
    const idempotencyKey = flags.idempotencyKey ?? `cli-${randomUUID()}`;
    const { run } = await client.unaryPatient(RunServiceService.retryRun, { runId, idempotencyKey }, 15_000);
    if (run === undefined)
      throw new CliError(
        'INTERNAL',
        'the server took the run and did not name it',
        'Upgrade the older of server and CLI.',
      );
    return detachOrFollow(client, run.id, flags, io, async () => {
      if (flags.output === 'table') io.out.write(`${run.id}\n`);
      else await printDocument(io, flags.output, runView(run));
    });
  });
}
