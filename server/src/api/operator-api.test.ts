import { connect as connectTcp } from 'node:net';
import { type Client, credentials, type Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { AlertServiceService, EventServiceService } from '@openline/proto/alerts';
import { AuthorityServiceService } from '@openline/proto/authority';
import { DeclaredServiceService } from '@openline/proto/declared';
import { ERROR_CODE_METADATA, OpenlineError } from '@openline/proto/errors';
import { HealthClient } from '@openline/proto/health';
import { NotificationServiceService } from '@openline/proto/notifications';
import {
  AccessServiceService,
  FleetServiceService,
  OfflinePolicy,
  PackServiceService,
  RunServiceService,
  TokenKind,
} from '@openline/proto/operator';
import { HealthServiceService, MaintenanceServiceService, WatchServiceService } from '@openline/proto/operator-health';
import { ServerReflectionClient, ServerReflectionService } from '@openline/proto/reflection';
import { afterEach, describe, expect, it } from 'vitest';
import { allows, type Role } from '../access/access.ts';
import type { RunSpec } from '../runs/run-service.ts';
import { ROLES, shortName } from './roles.ts';
import { A_RUN, type Fakes, selfSigned, startTestApi, type TestApi } from './testing.ts';

const open: TestApi[] = [];
async function start(fakes?: Fakes): Promise<TestApi> {
  const api = await startTestApi(fakes);
  open.push(api);
  return api;
}
afterEach(async () => {
  await Promise.all(open.splice(0).map((api) => api.close()));
});

type Outcome<T> = { value: T; code: 'OK' } | { error: ServiceError; code: string };

/** Promise of a unary call, its outcome by the code of docs/errors.md. */
function call<Request, Response>(
  client: Client,
  method: (
    request: Request,
    metadata: Metadata,
    done: (error: ServiceError | null, value: Response) => void,
  ) => unknown,
  request: Request,
  metadata: Metadata,
): Promise<Outcome<Response>> {
  return new Promise((resolve) =>
    method.call(client, request, metadata, (error, value) => {
      if (error === null) resolve({ value, code: 'OK' });
      else resolve({ error, code: String(error.metadata.get(ERROR_CODE_METADATA)[0] ?? status[error.code]) });
    }),
  );
}

function errorOf(outcome: Outcome<unknown>): ServiceError {
  if ('error' in outcome) return outcome.error;
  throw new Error('the call succeeded');
}

/** Calls any method with an empty request, by its path alone. */
function callPath(client: Client, path: string, metadata: Metadata): Promise<string> {
  return new Promise((resolve) => {
    const stream = client.makeServerStreamRequest(
      path,
      () => Buffer.alloc(0),
      (bytes) => bytes,
      {},
      metadata,
    );
    stream.on('data', () => {});
    stream.on('error', (error: ServiceError) =>
      resolve(String(error.metadata.get(ERROR_CODE_METADATA)[0] ?? status[error.code])),
    );
    stream.on('end', () => resolve('OK'));
  });
}

const A_SPEC = {
  task: 'utility/ping',
  targets: 'all',
  parametersJson: '{"count":1}',
  timeoutMs: 0,
  ttlMs: 0n,
  offline: OfflinePolicy.OFFLINE_POLICY_UNSPECIFIED,
  parametersFrom: {},
};

describe('who may call what', () => {
  it('lets each role call what the table allows it, and nothing else', async () => {
    const { clients, as, audited } = await start();
    const { runs } = clients();
    const wrong: string[] = [];
    let denials = 0;
    for (const [path, needed] of Object.entries(ROLES)) {
      for (const role of ['viewer', 'operator', 'admin'] satisfies Role[]) {
        const denied = (await callPath(runs, path, as(role))) === 'PERMISSION_DENIED';
        if (denied === allows(role, needed)) wrong.push(`${role} ${path}`);
        if (denied) denials++;
      }
    }
    expect(wrong).toEqual([]);
    expect(audited).toHaveLength(denials);
  });

  it('has a role for every method of every service, and for nothing that is gone', () => {
    const services = [
      RunServiceService,
      FleetServiceService,
      PackServiceService,
      AccessServiceService,
      AuthorityServiceService,
      AlertServiceService,
      EventServiceService,
      DeclaredServiceService,
      NotificationServiceService,
      HealthServiceService,
      WatchServiceService,
      MaintenanceServiceService,
    ];
    const paths = services.flatMap((service) => Object.values(service).map(({ path }) => path));
    expect(Object.keys(ROLES).sort()).toEqual(paths.sort());
  });

  it('lets a viewer look, an operator run and trace, and nobody but an admin change who may do what', () => {
    const methodsOf = (role: Role) =>
      Object.entries(ROLES)
        .filter(([, needed]) => needed === role)
        .map(([path]) => path.slice(path.lastIndexOf('/') + 1));
    expect(methodsOf('viewer')).toEqual([
      ...['PreviewRun', 'GetRun', 'ListRuns', 'WatchRun', 'ReadOutput'],
      ...['ListAgents', 'GetAgent', 'ListPacks', 'GetPack'],
      ...['ListAlerts', 'GetAlert', 'WatchAlerts', 'ListEvents', 'WatchEvents', 'WhoAmI', 'GetAuthority'],
      ...['ListDeclared', 'GetDeclared', 'ListDeclaredKinds'],
      ...['ListNotifications', 'GetNotification', 'ListChannels', 'ListSubscriptions'],
      ...['GetHealth', 'ListAgentHealth', 'GetAgentHealth', 'WatchHealth'],
      ...['ListMonitorStates', 'ListWatches', 'ExplainWatch', 'ListMaintenances', 'GetMaintenance'],
    ]);
    expect(methodsOf('operator')).toEqual([
      ...['SubmitRun', 'CancelRun', 'RetryRun', 'TraceAgent'],
      ...['AcknowledgeAlerts', 'AssignAlerts', 'CommentAlerts', 'CloseAlerts'],
      ...['ApplyDeclared', 'DeleteDeclared'],
      ...['RetryNotifications', 'TestChannel'],
      ...['ResetMonitor', 'StartMaintenance', 'EndMaintenance', 'ExtendMaintenance'],
    ]);
  });

  it('answers no method without a token, and says how to send one', async () => {
    const { clients, as } = await start();
    const { runs, access } = clients();
    const nobody = as('');
    nobody.remove('authorization');
    const outcomes = await Promise.all(Object.keys(ROLES).map((path) => callPath(runs, path, nobody)));
    expect(new Set(outcomes)).toEqual(new Set(['UNAUTHENTICATED']));
    const outcome = await call(access, access.whoAmI, {}, nobody);
    expect(errorOf(outcome).details).toBe('[UNAUTHENTICATED] the request carries no token (`authorization: Bearer …`)');
    expect(errorOf(outcome).code).toBe(status.UNAUTHENTICATED);
  });

  it('tells a viewer who submits a run which role it takes, and records that it tried', async () => {
    const { clients, as, audited } = await start();
    const { runs } = clients();
    const outcome = await call(runs, runs.submitRun, { spec: A_SPEC, idempotencyKey: '' }, as('viewer'));
    expect(errorOf(outcome).details).toBe(
      '[PERMISSION_DENIED] RunService/SubmitRun needs the role operator; the token «viewer» has the role viewer',
    );
    expect(audited).toEqual([
      {
        principal: 'viewer',
        action: 'denied',
        object: 'RunService/SubmitRun',
        details: { role: 'viewer', needed: 'operator', tokenId: 'id-of-viewer' },
      },
    ]);
  });

  it('answers an address that keeps sending bad tokens slowly, logs it once, and never the token', async () => {
    const { clients, as, logged, pausesMs } = await start();
    const { access } = clients();
    for (let i = 0; i < 7; i++) await call(access, access.whoAmI, {}, as('not-a-token'));
    expect((await call(access, access.whoAmI, {}, as('viewer'))).code).toBe('OK');
    expect(pausesMs).toEqual([1_000, 1_000]);
    expect(logged).toHaveLength(1);
    expect(JSON.stringify(logged)).not.toContain('not-a-token');
  });

  it('shows nothing to a client that does not trust its certificate', async () => {
    const { clients, as } = await start();
    const { access } = clients(await selfSigned('localhost'));
    expect((await call(access, access.whoAmI, {}, as('admin'))).code).toBe('UNAVAILABLE');
  });
});

describe('a request', () => {
  it('reaches its service as domain types, and its answer comes back as a message', async () => {
    const submitted: unknown[] = [];
    const { clients, as, observed } = await start({
      runs: {
        async submit(by, spec: RunSpec, options) {
          submitted.push(by.name, spec, options);
          return { run: A_RUN, existing: true };
        },
      },
    });
    const { runs } = clients();
    const parametersFrom = { path: 'label:data-dir' };
    const request = { spec: { ...A_SPEC, ttlMs: 5_000n, parametersFrom }, idempotencyKey: 'k' };
    const outcome = await call(runs, runs.submitRun, request, as('operator'));
    expect(submitted).toEqual([
      'operator',
      {
        task: 'utility/ping',
        targets: 'all',
        parameters: { count: 1 },
        parametersFrom,
        timeoutMs: undefined,
        ttlMs: 5_000,
        offline: 'fail',
      },
      { idempotencyKey: 'k' },
    ]);
    expect(outcome).toMatchObject({
      code: 'OK',
      value: {
        existing: true,
        run: { id: 'run-1', createdUnixMs: 1_000n, endedUnixMs: 0n, counts: [{ state: 2, count: 2 }] },
      },
    });
    expect(observed).toEqual([{ method: 'RunService/SubmitRun', code: 'OK' }]);
  });

  it.each([
    ['no specification', { spec: undefined, idempotencyKey: '' }, 'spec: '],
    ['no task', { spec: { ...A_SPEC, task: '' }, idempotencyKey: '' }, 'spec.task: is empty; name a task as pack/task'],
    ['a NUL', { spec: { ...A_SPEC, targets: 'a\0' }, idempotencyKey: '' }, 'spec.targets: contains a NUL character'],
    ['a policy that is unknown', { spec: { ...A_SPEC, offline: 9 as 1 }, idempotencyKey: '' }, 'spec.offline: '],
    ['eight days', { spec: { ...A_SPEC, ttlMs: 691_200_000n }, idempotencyKey: '' }, 'spec.ttlMs: longer than'],
    ['2^63', { spec: { ...A_SPEC, ttlMs: 2n ** 63n }, idempotencyKey: '' }, 'spec.ttlMs: too large'],
    ['a list for parameters', { spec: { ...A_SPEC, parametersJson: '[]' }, idempotencyKey: '' }, 'not a JSON object'],
    [
      'what is no property',
      { spec: { ...A_SPEC, parametersFrom: { path: '$(id)' } }, idempotencyKey: '' },
      'spec.parametersFrom.path: a property of the target is label:KEY, fact:KEY or name',
    ],
    ['a long key', { spec: A_SPEC, idempotencyKey: 'k'.repeat(201) }, 'idempotencyKey: longer than 200 characters'],
    [
      'parameters without a bottom',
      { spec: { ...A_SPEC, parametersJson: `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}` }, idempotencyKey: '' },
      'nested deeper than 64 levels',
    ],
  ])('with %s is refused, naming the field', async (_title, request, problem) => {
    const { clients, as } = await start();
    const { runs } = clients();
    const outcome = await call(runs, runs.submitRun, request, as('operator'));
    expect(outcome.code).toBe('REQUEST_INVALID');
    expect(errorOf(outcome).details).toContain(problem);
  });

  it.each([{ 'a b': 'x' }, { name: 'x' }, { '': 'x' }])('for a token that pins %o is refused', async (labels) => {
    const { clients, as } = await start();
    const { access } = clients();
    const request = { kind: TokenKind.TOKEN_KIND_JOIN, name: 'web-1', role: '', ttlMs: 0n, labels };
    const { details } = errorOf(await call(access, access.createToken, request, as('admin')));
    expect(details).toBe(
      '[REQUEST_INVALID] labels: no target expression can name each of them: keys are up to 253 of A-Z, a-z, 0-9 and ._/-, and neither name nor id',
    );
  });

  it('with parameters that are not JSON is refused without quoting them', async () => {
    const { clients, as } = await start();
    const { runs } = clients();
    const request = { spec: { ...A_SPEC, parametersJson: '{"password":"hunter2" "x"}' }, idempotencyKey: '' };
    const { details } = errorOf(await call(runs, runs.submitRun, request, as('operator')));
    expect(details).toBe('[REQUEST_INVALID] spec.parametersJson: not JSON at position 22');
  });

  it('of 100 MiB is refused unread, and others go on', async () => {
    const { clients, as } = await start();
    const { packs, access } = clients();
    const big = { content: Buffer.alloc(100 * 1024 * 1024), signature: 's', fileName: 'f' };
    const [refused, other] = await Promise.all([
      call(packs, packs.pushPack, big, as('admin')),
      call(access, access.whoAmI, {}, as('viewer')),
    ]);
    expect(errorOf(refused).code).toBe(status.RESOURCE_EXHAUSTED);
    expect(other).toMatchObject({ code: 'OK', value: { role: 'viewer', agentsConnected: 3, agentPort: 5723 } });
  });

  it('of random bytes on the port disturbs nobody', async () => {
    const { api, clients, as } = await start();
    const socket = connectTcp(api.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(Buffer.alloc(64 * 1024, 'garbage'));
    await new Promise((closed) => socket.on('close', closed));
    const { access } = clients();
    expect((await call(access, access.whoAmI, {}, as('viewer'))).code).toBe('OK');
  });
});

describe('an error', () => {
  it('that is foreseen comes as [CODE] message, with the code as metadata', async () => {
    const { clients, as, logged } = await start({
      runs: {
        async get() {
          throw new OpenlineError('RUN_UNKNOWN', 'there is no run «x»');
        },
      },
    });
    const { runs } = clients();
    const outcome = await call(runs, runs.getRun, { runId: 'x' }, as('viewer'));
    expect(outcome.code).toBe('RUN_UNKNOWN');
    expect(errorOf(outcome)).toMatchObject({ code: status.NOT_FOUND, details: '[RUN_UNKNOWN] there is no run «x»' });
    expect(logged).toEqual([]);
  });

  it('that nobody foresaw is logged under an id, and only the id is told', async () => {
    const { clients, as, logged } = await start({
      runs: {
        async get() {
          throw new Error('secret detail');
        },
      },
    });
    const { runs } = clients();
    const outcome = await call(runs, runs.getRun, { runId: 'x' }, as('viewer'));
    expect(outcome.code).toBe('INTERNAL');
    const { details } = errorOf(outcome);
    expect(details).not.toContain('secret detail');
    expect(logged).toEqual([
      { err: new Error('secret detail'), method: 'RunService/GetRun', requestId: expect.any(String) },
    ]);
    expect(details).toContain(String(logged[0]?.['requestId']));
  });

  it('of a database that is away is STORE_UNAVAILABLE', async () => {
    const { clients, as } = await start({
      runs: {
        async get() {
          throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
        },
      },
    });
    const { runs } = clients();
    expect((await call(runs, runs.getRun, { runId: 'x' }, as('viewer'))).code).toBe('STORE_UNAVAILABLE');
  });

  it.each([
    ['too long', '字'.repeat(100_000), /字{2000,} …$/],
    ['not well-formed', 'before \ud800 after', /before \ufffd after/],
  ])('whose message is %s still arrives', async (_title, message, arrives) => {
    const { clients, as } = await start({
      runs: {
        async get() {
          throw new OpenlineError('RUN_UNKNOWN', message);
        },
      },
    });
    const { runs } = clients();
    const outcome = await call(runs, runs.getRun, { runId: 'x' }, as('viewer'));
    expect(outcome.code).toBe('RUN_UNKNOWN');
    expect(errorOf(outcome).details).toMatch(arrives);
  });
});

describe('the port', () => {
  it('answers health without a token, and says NOT_SERVING once it is being closed', async () => {
    const { api, tls } = await start();
    const health = new HealthClient(`localhost:${api.port}`, credentials.createSsl(Buffer.from(tls.certificatePem)));
    const states: number[] = [];
    const watch = health.watch({ service: '' });
    const ended = new Promise((resolve) => watch.on('error', resolve));
    watch.on('data', ({ status }) => states.push(status));
    await new Promise<void>((resolve, reject) =>
      health.check({ service: 'openline.operator.v1.RunService' }, (error) => (error ? reject(error) : resolve())),
    );
    await api.close(200);
    await ended;
    health.close();
    expect(states).toEqual([1, 2]);
  });

  it('describes itself to those who have a token', async () => {
    const { api, tls, as } = await start();
    const client = new ServerReflectionClient(
      `localhost:${api.port}`,
      credentials.createSsl(Buffer.from(tls.certificatePem)),
    );
    const ask = (metadata: Metadata, symbol: string) =>
      new Promise<unknown>((resolve) => {
        const stream = client.serverReflectionInfo(metadata);
        stream.on('error', (error: ServiceError) => resolve(error.code));
        stream.on('data', (answer) => resolve(answer.messageResponse));
        stream.write({ host: '', messageRequest: { $case: 'fileContainingSymbol', value: symbol } });
        stream.end();
      });
    expect(await ask(as('nobody'), 'openline.operator.v1.RunService')).toBe(status.UNAUTHENTICATED);
    for (const symbol of [
      'openline.operator.v1.RunService',
      'openline.operator.v1.RunService.SubmitRun',
      'openline.operator.v1.Run.id',
    ]) {
      expect(await ask(as('viewer'), symbol)).toMatchObject({ $case: 'fileDescriptorResponse' });
    }
    expect(await ask(as('viewer'), 'openline.Nothing')).toMatchObject({
      $case: 'errorResponse',
      value: { errorCode: 5 },
    });
    // As grpcurl before 1.8.8 asks.
    const older = client.makeBidiStreamRequest(
      '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo',
      ServerReflectionService.serverReflectionInfo.requestSerialize,
      ServerReflectionService.serverReflectionInfo.responseDeserialize,
      as('viewer'),
    );
    const answered = new Promise<unknown>((resolve) => {
      older.on('error', resolve).on('data', (answer) => resolve(answer.messageResponse));
    });
    older.write({ host: '', messageRequest: { $case: 'listServices', value: '' } });
    older.end();
    expect(await answered).toMatchObject({ $case: 'listServicesResponse' });
    client.close();
  });

  it('is refused to a second server with PORT_IN_USE', async () => {
    const { api, tls } = await start();
    const { startOperatorApi } = await import('./operator-api.ts');
    const second = startOperatorApi({} as never, { listen: { host: '127.0.0.1', port: api.port }, tls });
    await expect(second).rejects.toMatchObject({ code: 'PORT_IN_USE' });
  });

  it('takes a new certificate for new connections and keeps the old ones', async () => {
    const { api, clients, as } = await start();
    const before = clients().access;
    expect((await call(before, before.whoAmI, {}, as('viewer'))).code).toBe('OK');
    const renewed = await selfSigned('localhost');
    api.updateTls(renewed);
    expect(() => api.updateTls({ ...renewed, keyPem: 'not a key' })).toThrow();
    const after = clients(renewed).access;
    expect((await call(after, after.whoAmI, {}, as('viewer'))).code).toBe('OK');
    expect((await call(before, before.whoAmI, {}, as('viewer'))).code).toBe('OK');
  });

  it('names its methods for metrics without the package', () => {
    expect(shortName('/openline.operator.v1.RunService/SubmitRun')).toBe('RunService/SubmitRun');
  });
});
