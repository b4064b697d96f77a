// The bare cost: grpc-js echo over streams that each have a mutual-TLS connection of their own.
// By itself: `node test/bench/bare.ts [--agents N] [--json]`.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Answer, Order } from './bare-process.ts';
import { throwAwayCertificates } from './certificates.ts';
import { startChild } from './child.ts';
import { AGENT_PROCESSES } from './fleets.ts';
import { median, significant } from './statistics.ts';

export interface BareResult {
  /** Messages that went down and came back, per second, over all streams: the median of the rounds. */
  readonly echoPerS: number;
  /** Wall-clock milliseconds per connection (TCP, TLS 1.3 with client certificate, HTTP/2, stream open) with `CONCURRENCY` at a time. */
  readonly handshakeMs: number;
  readonly serverKbPerStream: number;
  readonly rounds: number;
}

/** Handshakes under way at once. Enough to keep both cores busy, few enough that no accept queue overflows. */
const CONCURRENCY = 64;
/** About as long as Openline's task and its reports. */
const PAYLOAD_BYTES = 160;
const WARM_UP_ROUNDS = 5;

export async function measureBare(agents: number, rounds = 15): Promise<BareResult> {
  const { caPem, server, client } = await throwAwayCertificates();
  await using serving = side();
  await using sides = new AsyncDisposableStack();
  const connecting = Array.from({ length: AGENT_PROCESSES }, () => sides.use(side()));
  const { port } = await serving.ask('serving', { kind: 'serve', caPem, identity: server });
  const { rssKb: emptyKb } = await serving.ask('memory', { kind: 'memory' });
  const connected = await Promise.all(
    connecting.map((one, at) =>
      one.ask('connected', {
        kind: 'connect',
        caPem,
        identity: client,
        port,
        count: Math.ceil((agents - at) / AGENT_PROCESSES),
        concurrency: CONCURRENCY / AGENT_PROCESSES,
      }),
    ),
  );
  await serving.ask('rounds', { kind: 'rounds', count: WARM_UP_ROUNDS, payloadBytes: PAYLOAD_BYTES });
  const { roundMs, streams } = await serving.ask('rounds', {
    kind: 'rounds',
    count: rounds,
    payloadBytes: PAYLOAD_BYTES,
  });
  if (streams !== agents) throw new Error(`the bare echo lost streams: ${streams} of ${agents} are open`);
  const { rssKb: fullKb } = await serving.ask('memory', { kind: 'memory' });
  return {
    echoPerS: (agents * 1000) / median(roundMs),
    handshakeMs: Math.max(...connected.map(({ wallMs }) => wallMs)) / agents,
    serverKbPerStream: (fullKb - emptyKb) / agents,
    rounds,
  };
}

/** One side, asked for an answer of a certain kind. */
function side() {
  const child = startChild<Order, Answer>(join(import.meta.dirname, 'bare-process.ts'));
  return {
    async ask<K extends Answer['kind']>(kind: K, order: Order): Promise<Extract<Answer, { kind: K }>> {
      const answer = await child.ask(order);
      if (!isKind(answer, kind)) throw new Error(`asked for ${kind}, got ${answer.kind}`);
      return answer;
    },
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}

function isKind<K extends Answer['kind']>(answer: Answer, kind: K): answer is Extract<Answer, { kind: K }> {
  return answer.kind === kind;
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { agents: { type: 'string', default: '500' }, json: { type: 'boolean' } } });
  const agents = Number(values.agents);
  const result = await measureBare(agents);
  console.log(
    JSON.stringify({
      agents,
      echo_per_s: significant(result.echoPerS),
      handshake_ms: significant(result.handshakeMs),
      server_kb_per_stream: significant(result.serverKbPerStream),
      rounds: result.rounds,
    }),
  );
}
