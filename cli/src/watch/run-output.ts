import { OutputKind } from '@openline/proto/operator';
import type { OperatorClient } from '../client/client.ts';
import type { DispatchView } from '../views/run.ts';
import { readOutput } from './streams.ts';

/** The kept output of one target as text, for documents; bytes that are not UTF-8 become U+FFFD. */
export async function outputOf(
  client: OperatorClient,
  runId: string,
  dispatch: DispatchView,
): Promise<{ stdout: string; stderr: string }> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  if (dispatch.outputBytes > 0) {
    const query = { runId, agentIds: [dispatch.agentId], follow: false, fromOffset: 0 };
    const patience = { signal: new AbortController().signal, notice: () => {} };
    for await (const part of readOutput(client, query, patience)) {
      (part.kind === OutputKind.OUTPUT_KIND_STDERR ? err : out).push(Buffer.from(part.data));
    }
  }
  return { stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
}
