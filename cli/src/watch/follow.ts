import { RunServiceService } from '@openline/proto/operator';
import { createColors } from 'picocolors';
import type { OperatorClient } from '../client/client.ts';
import { CliError, EXIT } from '../failure.ts';
import type { Io } from '../io.ts';
import { type Format, printDocument } from '../render/document.ts';
import type { DispatchView } from '../views/run.ts';
import { createInterrupts } from './interrupts.ts';
import { createLiveView } from './live-view.ts';
import { applyWatch, byName, documentOf, type RunModel } from './model.ts';
import { createPrefixPrinter, createRawPrinter, type OutputPrinter } from './output-printer.ts';
import { createProgressLines } from './progress-lines.ts';
import { progressLine, renderFinal, renderLive, summaryLine } from './render-live.ts';
import { endedOutput, outputOf, sayMissing } from './run-output.ts';
import { createStandstill, type Standstill } from './standstill.ts';
import { readOutput, watchRun } from './streams.ts';
import { createTally, type Tally } from './tally.ts';

export interface FollowOptions {
  readonly format: Format;
  /** Output as it comes, on stdout; the table then goes to stderr. Only with the table format. */
  readonly follow: boolean;
  /** The output of every target at the end; of a single target always. */
  readonly showOutput: boolean;
  readonly cancelOnInterrupt: boolean;
}

const REDRAW_EVERY_MS = 100;

/**
 * Watches a run to its end and shows it.
 * @returns the exit code: 0 all succeeded, 1 not all, 130 or 143 interrupted
 */
export async function followRun(
  client: OperatorClient,
  runId: string,
  options: FollowOptions,
  io: Io,
): Promise<number> {
  const stopWatching = new AbortController();
  const live = io.err.screen().isTTY && options.format !== 'jsonl' ? createLiveView(io.err) : undefined;
  const progress = createProgressLines();
  const standstill = createStandstill();
  const tally = createTally();
  let model: RunModel | undefined;
  let output: Promise<void> | undefined;

  /** Above the live lines, on stderr. */
  const say = (text: string) => (live === undefined ? io.err.write(`${text}\n`) : live.print(`${text}\n`));
  const redraw = () => {
    if (live === undefined || model === undefined) return;
    const screen = io.err.screen();
    live.draw(options.follow ? [progressLine(model, screen, io.nowMs())] : renderLive(model, screen, io.nowMs()));
  };
  const interrupts = createInterrupts({
    io,
    cancel: options.cancelOnInterrupt
      ? async () => void (await client.unaryPatient(RunServiceService.cancelRun, { runId }, 10_000))
      : undefined,
    say,
    stop: () => stopWatching.abort(),
    beforeExit: () => live?.close(),
  });
  const timer = setInterval(redraw, REDRAW_EVERY_MS);
  const stopResize = io.err.onResize(redraw);
  try {
    for await (const message of watchRun(client, runId, { signal: stopWatching.signal, notice: say })) {
      const applied = applyWatch(model, message);
      if (applied === undefined) continue;
      const first = model === undefined;
      model = applied.model;
      if (options.format === 'jsonl') printChanges(runId, applied.changed, io);
      if (live === undefined)
        for (const line of progress.next(model, applied.changed, io.nowMs())) io.err.write(`${line}\n`);
      else if (first) redraw();
      if (options.follow && output === undefined) {
        const signal = AbortSignal.any([stopWatching.signal, standstill.signal]);
        output = streamOutput({ client, runId, model: () => model, io, live, signal, standstill, tally });
        output.catch(() => stopWatching.abort()); // awaited, and so reported, below
      }
    }
    // The last bytes may come behind the last result.
    standstill.begin();
    await output;
  } catch (error) {
    stopWatching.abort();
    throw error instanceof CliError && error.code === 'SERVER_UNREACHABLE'
      ? new CliError(
          error.code,
          `${error.message}; the run itself goes on`,
          `Come back to it with \`openline runs watch ${runId}\`.`,
          { cause: error },
        )
      : error;
  } finally {
    clearInterval(timer);
    stopResize();
    live?.close();
    interrupts.close();
  }

  if (interrupts.signal !== undefined && model?.run.outcome !== 'succeeded' && model?.run.outcome !== 'failed') {
    io.err.write(interruptedText(runId));
    return interrupts.exitCode;
  }
  if (model === undefined)
    throw new CliError('INTERNAL', `the server said nothing of run ${runId}`, 'Upgrade the older of server and CLI.');
  if (options.follow) sayMissing(tally.missing(runId, model.dispatches.values()), io);
  await showEnd(client, model, options, io);
  if (interrupts.signal !== undefined) return interrupts.exitCode;
  return model.run.outcome === 'succeeded' ? EXIT.ok : EXIT.notAll;
}

function interruptedText(runId: string): string {
  return `interrupted: the run goes on.\n→ come back: \`openline runs watch ${runId}\`   stop it: \`openline runs cancel ${runId}\`\n`;
}

function printChanges(runId: string, changed: readonly DispatchView[], io: Io): void {
  io.out.write(changed.map((dispatch) => `${JSON.stringify({ runId, ...dispatch })}\n`).join(''));
}

async function streamOutput(input: {
  client: OperatorClient;
  runId: string;
  model: () => RunModel | undefined;
  io: Io;
  live: ReturnType<typeof createLiveView> | undefined;
  signal: AbortSignal;
  standstill: Standstill;
  tally: Tally;
}): Promise<void> {
  const { client, runId, model, io, live, signal, standstill, tally } = input;
  const targets = [...(model()?.dispatches.values() ?? [])];
  const printer = printerFor(targets, io, live);
  // The watch decides how long to wait for a lost server, and says so.
  const patience = { signal, notice: () => {}, giveUpAfterMs: Number.POSITIVE_INFINITY };
  const query = { runId, agentIds: targets.length === 1 ? targets.map((each) => each.agentId) : [] };
  const ended = () => model()?.run.outcome !== 'open';
  try {
    const parts = readOutput(client, { ...query, follow: true, fromOffset: 0 }, patience, ended);
    for await (const part of standstill.watch(parts)) {
      tally.part(part);
      printer.part(part);
      await io.out.drained();
    }
  } finally {
    printer.end();
  }
}

/** With live lines on the same terminal, output is written above them. */
export function printerFor(
  targets: readonly DispatchView[],
  io: Io,
  live?: ReturnType<typeof createLiveView>,
): OutputPrinter {
  const shares = live !== undefined && io.out.screen().isTTY;
  if (targets.length <= 1) {
    if (!shares) return createRawPrinter({ out: io.out.write, err: io.err.write });
    // Whole lines only: a redraw in the middle of a line would tear it.
    return createPrefixPrinter(
      { out: (data) => live.print(String(data)), err: (data) => live.print(String(data)) },
      [],
      () => '',
    );
  }
  const sinks = shares
    ? {
        out: (data: string | Uint8Array) => live.print(String(data)),
        err: (data: string | Uint8Array) => live.print(String(data)),
      }
    : {
        out: io.out.write,
        err: live === undefined ? io.err.write : (data: string | Uint8Array) => live.print(String(data)),
      };
  return createPrefixPrinter(
    sinks,
    targets.map((each) => each.agent),
    createColors(io.out.screen().color).dim,
  );
}

/** The end of a run (`run`, `runs watch`) or where it stands (`runs show`). */
export async function showEnd(client: OperatorClient, model: RunModel, options: FollowOptions, io: Io): Promise<void> {
  const { format } = options;
  if (format === 'jsonl') return;
  const targets = [...model.dispatches.values()].sort(byName);
  if (format !== 'table') {
    const document = documentOf(model);
    if (options.showOutput) {
      for (const dispatch of document.dispatches)
        Object.assign(dispatch, await outputOf(client, model.run.id, dispatch, io));
    }
    await printDocument(io, format, document);
    return;
  }
  // With --follow, stdout is the output alone.
  const to = options.follow ? io.err : io.out;
  const screen = to.screen();
  const lines = renderFinal(model, screen, io.nowMs());
  const summary = [summaryLine(model, screen, io.nowMs()), `run ${model.run.id}`];
  to.write([...lines, '', ...summary].map((line) => `${line}\n`).join(''));
  if (options.follow || (targets.length > 1 && !options.showOutput)) return;
  for (const target of targets) await showOutputOf(client, model, target, targets.length > 1, io);
}

async function showOutputOf(
  client: OperatorClient,
  model: RunModel,
  target: DispatchView,
  titled: boolean,
  io: Io,
): Promise<void> {
  if (target.outputBytes === 0 && target.outputDroppedBytes === 0) return;
  const paint = createColors(io.out.screen().color);
  io.out.write(titled ? `\n${paint.bold(`── ${target.agent} ──`)}\n` : '\n');
  const printer = createRawPrinter({ out: io.out.write, err: io.err.write });
  const notice = (text: string) => io.err.write(`${text}\n`);
  for await (const part of endedOutput(client, model.run.id, target, {
    notice,
    warn: (lines) => sayMissing(lines, io),
  })) {
    printer.part(part);
    await io.out.drained();
  }
}
