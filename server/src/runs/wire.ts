import { ServerMessage, type Task } from '@openline/proto/agent';

/** By the name of a parameter: which property of each target it is ("label:KEY", "fact:KEY" or "name"). */
export type ParametersFrom = Readonly<Record<string, string>>;
/** Of one run. */
export const MAX_REFERENCES = 32;

/** What a Task message is made of. */
export interface TaskOrder {
  readonly runId: string;
  readonly packName: string;
  readonly packDigest: Buffer;
  readonly taskName: string;
  readonly parametersJson: string;
  readonly parametersFrom?: ParametersFrom | undefined;
  readonly timeoutMs: number;
  readonly expiresAt: Date;
}

/** The bytes are the same for every target of a run: encode once, write to all. */
export function encodeTasks(orders: readonly TaskOrder[], now: Date): Buffer {
  const tasks = orders.map(
    (order): Task => ({
      runId: order.runId,
      packName: order.packName,
      packDigest: order.packDigest,
      taskName: order.taskName,
      parametersJson: order.parametersJson,
      parametersFrom: order.parametersFrom ?? {},
      timeoutMs: order.timeoutMs,
      expiresInMs: BigInt(Math.max(0, order.expiresAt.getTime() - now.getTime())),
    }),
  );
  return asBuffer(ServerMessage.encode({ kind: { $case: 'tasks', value: { tasks } } }).finish());
}

export function encodeCancel(runIds: readonly string[], reason: string): Buffer {
  return asBuffer(ServerMessage.encode({ kind: { $case: 'cancel', value: { runIds: [...runIds], reason } } }).finish());
}

/** grpc-js throws on a plain Uint8Array. */
function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
