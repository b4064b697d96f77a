import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import {
  type EventServiceServer,
  EventServiceService,
  type WatchEventsRequest,
  type WatchEventsResponse,
} from '@openline/proto/alerts';
import { ERROR_CODE_METADATA, type ErrorCode, OpenlineError } from '@openline/proto/errors';
import {
  type AccessServiceServer,
  AccessServiceService,
  type CreateTokenRequest,
  type FleetServiceServer,
  FleetServiceService,
  type PackServiceServer,
  PackServiceService,
  type PushPackRequest,
  type RunServiceServer,
  RunServiceService,
  TokenKind,
  type TraceAgentResponse,
} from '@openline/proto/operator';
import { createRuns, type FakeRuns } from './fake-runs.ts';
import { agentMessage, aPack } from './messages.ts';
import { type TestTls, testTls } from './tls.ts';

export interface FakeServer {
  /** localhost:port */
  readonly address: string;
  /** The one that is accepted. */
  token: string;
  readonly tls: TestTls;
  readonly runs: FakeRuns;
  readonly pushed: PushPackRequest[];
  readonly tokensMade: CreateTokenRequest[];
  /** By which agents reach it, when it says so. */
  agentAddress: string;
  /** What TraceAgent sends; then it stays open. */
  trace: TraceAgentResponse[];
  /** What WatchEvents sends; then it stays open. */
  watchEvents(request: WatchEventsRequest): WatchEventsResponse[];
  /** Ends every stream and the port, as a killed server does. `start` brings it back at the same address. */
  stop(): Promise<void>;
  start(): Promise<void>;
}

type Handler<Request, Response> = (request: Request) => Response | Promise<Response>;

/** An operator server that knows a handful of agents and packs, and runs nothing: tests say how its dispatches go. */
export async function startFakeServer(): Promise<FakeServer> {
  const tls = await testTls();
  const runs = createRuns();
  const pushed: PushPackRequest[] = [];
  const tokensMade: CreateTokenRequest[] = [];
  let server: Server | undefined;
  let port = 0;

  const authorised = (metadata: Metadata) => {
    const [given] = metadata.get('authorization');
    if (given !== `Bearer ${fake.token}`)
      throw new OpenlineError('UNAUTHENTICATED', 'the token is unknown, expired or revoked');
  };
  const known = (agent: string) => {
    if (agent !== 'web-1') throw new OpenlineError('AGENT_UNKNOWN', `there is no agent ${agent}`);
  };
  const unary =
    <Request, Response>(handle: Handler<Request, Response>) =>
    (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>) => {
      Promise.resolve()
        .then(() => {
          authorised(call.metadata);
          return handle(call.request);
        })
        .then(
          (response) => callback(null, response),
          (error: unknown) => callback(refusal(error)),
        );
    };
  const streaming =
    <Request, Response>(
      handle: (request: Request, send: (response: Response) => void, signal: AbortSignal) => Promise<void>,
    ) =>
    (call: ServerWritableStream<Request, Response>) => {
      const gone = new AbortController();
      call.on('cancelled', () => gone.abort());
      call.on('error', () => gone.abort());
      call.sendMetadata(new Metadata());
      Promise.resolve()
        .then(() => {
          authorised(call.metadata);
          return handle(call.request, (response) => void call.write(response), gone.signal);
        })
        .then(
          () => call.end(),
          (error: unknown) => call.emit('error', refusal(error)),
        );
    };

  const fake: FakeServer = {
    get address() {
      return `localhost:${port}`;
    },
    token: 'olt_test-token',
    tls,
    runs,
    pushed,
    tokensMade,
    agentAddress: '',
    trace: [],
    watchEvents: () => [],
    async start() {
      server = new Server();
      server.addService(RunServiceService, {
        submitRun: unary((request) => runs.submit(request)),
        previewRun: unary(({ spec }) => runs.preview(spec)),
        getRun: unary(({ runId }) => runs.get(runId)),
        listRuns: unary(() => ({ runs: runs.list(), nextPageToken: '' })),
        watchRun: streaming(({ runId }, send, signal) => runs.watch(runId, send, signal)),
        readOutput: streaming((request, send, signal) => runs.output(request, send, signal)),
        cancelRun: unary(({ runId }) => ({ run: runs.cancel(runId) })),
        retryRun: unary(({ runId }) => ({ run: runs.retry(runId), existing: false })),
      } satisfies RunServiceServer);
      server.addService(FleetServiceService, {
        listAgents: unary(() => ({ agents: [agentMessage('web-1'), agentMessage('web-2', { online: false })] })),
        getAgent: unary(({ agent }) => {
          known(agent);
          return { agent: agentMessage(agent) };
        }),
        revokeAgent: unary(({ agent }) => ({ agent: agentMessage(agent, { revoked: true }) })),
        deleteAgent: unary(() => ({})),
        traceAgent: streaming(async ({ agent }, send: (response: TraceAgentResponse) => void, signal) => {
          known(agent);
          for (const each of fake.trace) send(each);
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        }),
      } satisfies FleetServiceServer);
      server.addService(EventServiceService, {
        listEvents: unary(() => ({ events: [], nextPageToken: '' })),
        watchEvents: streaming(async (request, send: (response: WatchEventsResponse) => void, signal) => {
          for (const each of fake.watchEvents(request)) send(each);
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
        }),
      } satisfies EventServiceServer);
      server.addService(PackServiceService, {
        pushPack: unary((request) => {
          pushed.push(request);
          return { pack: aPack(), unchanged: false };
        }),
        listPacks: unary(() => ({ packs: [aPack()] })),
        getPack: unary(({ pack }) => {
          if (pack !== 'linux') throw new OpenlineError('PACK_UNKNOWN', `there is no pack ${pack}`);
          return { pack: aPack(), content: Buffer.from('name: linux\n'), signature: 'untrusted comment: x\n' };
        }),
        removePack: unary(() => ({})),
      } satisfies PackServiceServer);
      server.addService(AccessServiceService, {
        whoAmI: unary(() => ({
          tokenName: 'admin',
          role: 'admin',
          serverVersion: '0.1.0',
          serverStartedUnixMs: BigInt(Date.now() - 60_000),
          agentsConnected: 1,
          agentPort: 5723,
          agentAddress: fake.agentAddress,
          caHash: 'sha256:abc',
        })),
        createToken: unary((request) => {
          tokensMade.push(request);
          return {
            token: {
              id: 't1',
              kind: request.kind,
              name: request.name,
              role: request.role,
              createdUnixMs: BigInt(Date.now()),
              expiresUnixMs: 0n,
              revokedUnixMs: 0n,
              lastUsedUnixMs: 0n,
              usedByAgent: '',
              labels: request.labels,
              createdBy: 'admin',
            },
            secret: request.kind === TokenKind.TOKEN_KIND_JOIN ? 'olj_secret' : 'olt_secret',
          };
        }),
        listTokens: unary(() => ({ tokens: [] })),
        revokeToken: unary(() => ({ token: undefined })),
        listAudit: unary(() => ({ entries: [], nextPageToken: '' })),
      } satisfies AccessServiceServer);
      const credentials = ServerCredentials.createSsl(null, [
        { cert_chain: Buffer.from(tls.certPem), private_key: Buffer.from(tls.keyPem) },
      ]);
      const started = server;
      port = await new Promise<number>((resolve, reject) => {
        started.bindAsync(`127.0.0.1:${port}`, credentials, (error, bound) =>
          error === null ? resolve(bound) : reject(error),
        );
      });
    },
    async stop() {
      server?.forceShutdown();
      server = undefined;
    },
  };
  await fake.start();
  return fake;
}

const STATUS_OF: Partial<Record<ErrorCode, status>> = {
  UNAUTHENTICATED: status.UNAUTHENTICATED,
  RUN_UNKNOWN: status.NOT_FOUND,
};

/** As the real one refuses: code in the metadata, "[CODE] message" in the details. */
function refusal(error: unknown) {
  const metadata = new Metadata();
  if (!(error instanceof OpenlineError))
    return { code: status.INTERNAL, details: String(error), message: String(error), name: 'E', metadata };
  metadata.set(ERROR_CODE_METADATA, error.code);
  const details = `[${error.code}] ${error.message}`;
  return { code: STATUS_OF[error.code] ?? status.INVALID_ARGUMENT, details, message: details, name: 'E', metadata };
}
