import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { ChannelCredentials, Client, Metadata, type ServiceError } from '@grpc/grpc-js';
import {
  AccessServiceService,
  type Agent,
  DispatchState,
  FleetServiceService,
  type GetRunResponse,
  OfflinePolicy,
  PackServiceService,
  type PushPackResponse,
  type Run,
  RunServiceService,
  TokenKind,
  type WhoAmIResponse,
} from '@openline/proto/operator';
import { eventually } from './eventually.ts';

/** How the operator API is reached: what a server leaves in its data directory. */
export interface Access {
  readonly address: string;
  readonly caPem: string;
  readonly token: string;
}

/** Reads `client.json`, which names the server and the files beside it. */
export async function localAccess(dataDir: string): Promise<Access> {
  const path = resolve(dataDir, 'client.json');
  const given: Record<string, unknown> = JSON.parse(await readFile(path, 'utf8'));
  const field = async (key: string): Promise<string> => {
    const direct = given[key];
    if (typeof direct === 'string') return direct;
    const file = given[`${key}File`];
    if (typeof file !== 'string') throw new Error(`${path} has neither ${key} nor ${key}File`);
    return (await readFile(resolve(dirname(path), file), 'utf8')).trim();
  };
  return { address: await field('server'), caPem: await field('ca'), token: await field('token') };
}

/** As ts-proto generates it: enough to call a method without the service's client class. */
interface Method<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

export interface RunRequest {
  /** Default "all". */
  readonly targets?: string;
  readonly parameters?: Readonly<Record<string, unknown>>;
  /** Name of a parameter → label:KEY, fact:KEY or name. */
  readonly parametersFrom?: Record<string, string>;
  readonly timeoutMs?: number;
  readonly ttlMs?: number;
  /** Default: fail. */
  readonly wait?: boolean;
  readonly idempotencyKey?: string;
}

export type Operator = ReturnType<typeof operatorClient>;

/** The operator API as tests use it. Any other method: `unary(FleetServiceService.getAgent, { agent })`. */
export function operatorClient({ address, caPem, token }: Access) {
  const client = new Client(address, ChannelCredentials.createSsl(Buffer.from(caPem)), {
    'grpc.use_local_subchannel_pool': 1,
    // The server is on this machine, whatever proxy the machine has.
    'grpc.enable_http_proxy': 0,
    'grpc.max_receive_message_length': 64 * 1024 * 1024,
    // A server that comes back on its port is tried at once, not after a backoff of seconds.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 500,
  });
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);

  function unary<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    timeoutMs = 30_000,
  ): Promise<Response> {
    return new Promise((resolvePromise, reject) => {
      client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadata,
        { deadline: Date.now() + timeoutMs },
        (error: ServiceError | null, response?: Response) => {
          if (response === undefined) reject(error);
          else resolvePromise(response);
        },
      );
    });
  }

  async function* stream<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    signal?: AbortSignal,
  ): AsyncGenerator<Response> {
    const call = client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadata,
    );
    const cancel = (): void => call.cancel();
    signal?.addEventListener('abort', cancel);
    try {
      for await (const message of call) yield message;
    } catch (error) {
      if (signal?.aborted !== true) throw error;
    } finally {
      signal?.removeEventListener('abort', cancel);
      call.cancel();
    }
  }

  async function submit(task: string, request: RunRequest = {}): Promise<Run> {
    const { run } = await unary(RunServiceService.submitRun, {
      spec: {
        task,
        targets: request.targets ?? 'all',
        parametersJson: JSON.stringify(request.parameters ?? {}),
        parametersFrom: request.parametersFrom ?? {},
        timeoutMs: request.timeoutMs ?? 0,
        ttlMs: BigInt(request.ttlMs ?? 0),
        offline: request.wait === true ? OfflinePolicy.OFFLINE_POLICY_WAIT : OfflinePolicy.OFFLINE_POLICY_FAIL,
      },
      idempotencyKey: request.idempotencyKey ?? '',
    });
    return present(run, 'run');
  }

  const getRun = (runId: string): Promise<GetRunResponse> => unary(RunServiceService.getRun, { runId });

  /** Asks again and again, also over a restart of the server; resolves when the run has ended. */
  const ended = (runId: string, timeoutMs = 30_000): Promise<GetRunResponse> =>
    eventually(
      async () => {
        const answer = await getRun(runId);
        return present(answer.run, 'run').endedUnixMs > 0n && answer;
      },
      { what: `the end of run ${runId}`, timeoutMs },
    );

  const agents = async (selector = ''): Promise<Agent[]> =>
    (await unary(FleetServiceService.listAgents, { selector, includeRevoked: false })).agents;

  return {
    unary,
    stream,
    submit,
    getRun,
    ended,
    agents,
    run: async (task: string, request: RunRequest = {}, timeoutMs = 30_000): Promise<GetRunResponse> =>
      ended((await submit(task, request)).id, timeoutMs),
    cancel: (runId: string) => unary(RunServiceService.cancelRun, { runId }),
    /** Every byte kept of one target's output, both streams in the order in which they came. */
    async output(runId: string, agentId: string, follow = true): Promise<{ data: Buffer; droppedBytes: bigint }> {
      const chunks: Buffer[] = [];
      let droppedBytes = 0n;
      const request = { runId, agentIds: [agentId], follow, fromOffset: 0n };
      for await (const part of stream(RunServiceService.readOutput, request)) {
        chunks.push(part.data);
        droppedBytes = part.droppedBytes > droppedBytes ? part.droppedBytes : droppedBytes;
      }
      return { data: Buffer.concat(chunks), droppedBytes };
    },
    watch: (runId: string, signal?: AbortSignal) => stream(RunServiceService.watchRun, { runId }, signal),
    trace: (agent: string, signal?: AbortSignal) => stream(FleetServiceService.traceAgent, { agent }, signal),
    whoAmI: (timeoutMs?: number): Promise<WhoAmIResponse> => unary(AccessServiceService.whoAmI, {}, timeoutMs),
    pushPack: (content: Buffer, signature: string, fileName: string): Promise<PushPackResponse> =>
      unary(PackServiceService.pushPack, { content, signature, fileName }),
    packs: async () => (await unary(PackServiceService.listPacks, {})).packs,
    /** A single-use join token. */
    joinToken: async (labels: Record<string, string> = {}): Promise<string> => {
      const kind = TokenKind.TOKEN_KIND_JOIN;
      return (await unary(AccessServiceService.createToken, { kind, name: 'test', role: '', ttlMs: 0n, labels }))
        .secret;
    },
    operatorToken: async (role: 'viewer' | 'operator' | 'admin'): Promise<string> => {
      const kind = TokenKind.TOKEN_KIND_OPERATOR;
      return (await unary(AccessServiceService.createToken, { kind, name: role, role, ttlMs: 0n, labels: {} })).secret;
    },
    deleteAgent: (agent: string) => unary(FleetServiceService.deleteAgent, { agent }),
    /** Waits until that many agents are connected and hold every wanted pack (or have refused it). */
    online: (count: number, timeoutMs = 30_000): Promise<Agent[]> =>
      eventually(
        async () => {
          const all = await agents();
          const ready = all.filter((agent) => agent.online);
          return ready.length === count && ready;
        },
        { what: `${count} connected agents`, timeoutMs },
      ),
    close: () => client.close(),
  };
}

/** "succeeded", "timed_out", …: as people and the DESIGN name it. */
export function stateName(state: DispatchState): string {
  const found = Object.entries(DispatchState).find(([, value]) => value === state)?.[0] ?? 'UNRECOGNIZED';
  return found.replace('DISPATCH_STATE_', '').toLowerCase();
}

function present<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`the answer has no ${what}`);
  return value;
}
