import { OutputKind, type ReadOutputResponse } from '@openline/proto/operator';
import type { OperatorClient } from '../client/client.ts';
import type { Io } from '../io.ts';
import { type DispatchView, isOpen } from '../views/run.ts';
import { createStandstill } from './standstill.ts';
import { readOutput } from './streams.ts';
import { createTally } from './tally.ts';

/**
 * The kept output of one target; once the target has ended, all of it: the last of it may come behind the result.
 * @param warn told what is missing, when something is
 */
export async function* endedOutput(
  client: OperatorClient,
  runId: string,
  dispatch: DispatchView,
  { notice, warn }: { notice: (text: string) => void; warn: (lines: readonly string[]) => void },
): AsyncGenerator<ReadOutputResponse> {
  const query = { runId, agentIds: [dispatch.agentId], follow: !isOpen(dispatch.state), fromOffset: 0 };
  const standstill = createStandstill();
  const tally = createTally();
  standstill.begin();
  for await (const part of standstill.watch(readOutput(client, query, { signal: standstill.signal, notice }))) {
    tally.part(part);
    yield part;
  }
  warn(tally.missing(runId, [dispatch]));
}

/** The kept output of one target as text, for documents; bytes that are not UTF-8 become U+FFFD. */
export async function outputOf(
  client: OperatorClient,
  runId: string,
  dispatch: DispatchView,
  io: Pick<Io, 'err'>,
): Promise<{ stdout: string; stderr: string }> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  if (dispatch.outputBytes > 0) {
    const say = { notice: () => {}, warn: (lines: readonly string[]) => sayMissing(lines, io) };
    for await (const part of endedOutput(client, runId, dispatch, say)) {
      (part.kind === OutputKind.OUTPUT_KIND_STDERR ? err : out).push(Buffer.from(part.data));
    }
  }
  return { stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
}

/** @param lines of a tally */
export function sayMissing(lines: readonly string[], io: Pick<Io, 'err'>): void {
  io.err.write(lines.map((line) => `${line}\n`).join(''));
}
