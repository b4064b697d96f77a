import { AgentMessage, Heartbeat, Hello, Policy, ServerMessage } from '@openline/proto/agent';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { systemClock } from '../clock.ts';
import type { AgentPolicy } from '../policy/policies.ts';
import type { DispatchDesk } from '../runs/desk.ts';
import type { DispatchChange } from '../runs/dispatch.ts';
import type { OwedDispatch } from '../runs/owed-store.ts';
import { encodeTasks } from '../runs/wire.ts';
import type { Link } from './link.ts';
import type { HelloRecord, PackStateRecord, SessionStore } from './session-store.ts';
import { createSessions, type SessionsDeps } from './sessions.ts';

const RUN = '00000000-0000-7000-8000-000000000001';

const owed = (over: Partial<OwedDispatch> = {}): OwedDispatch => ({
  runId: RUN,
  agentId: 'a',
  state: 'running',
  runCancelled: false,
  expired: false,
  parameterBytes: 2,
  ...over,
});

const orderOf = (runId: string) => ({
  runId,
  packName: 'p',
  packDigest: Buffer.alloc(32),
  taskName: 't',
  parametersJson: '{}',
  timeoutMs: 1_000,
  expiresAt: new Date(Date.now() + 60_000),
});

const aboutOf = (id: string) => ({ id, name: id, labels: {}, facts: {} });

function policyOf(silenceMs: number, watchName: string): AgentPolicy {
  const value = Policy.create({ heartbeatIntervalMs: 7, overrides: [{ packName: 'p', watchName }] });
  return {
    heartbeat: { intervalMs: 7, silenceMs, stoppedAfterMs: undefined, alert: true, severity: 'critical' },
    message: Buffer.from(ServerMessage.encode({ kind: { $case: 'policy', value } }).finish()),
  };
}

/** One replica whose store is made of what each test gives; agents say and hear messages. */
function replica(
  given: { owed?: Partial<SessionsDeps['owed']>; store?: Partial<SessionStore>; changesTaken?: number } = {},
) {
  const changes: DispatchChange[] = [];
  const nothing = async () => {};
  const desk: DispatchDesk = {
    change: (change) => changes.length < (given.changesTaken ?? Number.POSITIVE_INFINITY) && changes.push(change) > 0,
    output() {},
    opened() {},
    changedInStore() {},
    endRuns: nothing,
    idle: nothing,
    fault: () => undefined,
  };
  let epoch = 0;
  const seen: string[] = [];
  const policy = { current: policyOf(45_000, 'first') };
  const store: SessionStore = {
    open: async (hellos) =>
      new Map(
        hellos.map(({ agentId }) => [
          agentId,
          {
            kind: 'opened',
            agent: aboutOf(agentId),
            pinnedLabels: { role: 'db' },
            epoch: ++epoch,
            journalReplaced: false,
            sameProcess: false,
          },
        ]),
      ),
    seen: nothing,
    ended: nothing,
    allOffline: nothing,
    packStates: nothing,
    ...given.store,
  };
  const none = () => {};
  const trust = { caPem: 'PEM', issuer: 'aa' };
  const sessions = createSessions(
    {
      store,
      desk,
      events: { take: none },
      trust: { current: () => trust, reported: (_agentId, { issuer }) => issuer !== trust.issuer },
      owed: {
        openAt: async () => ({ open: [], waiting: [] }),
        takeQueued: async () => [],
        orders: async () => [],
        ...given.owed,
      },
      policies: { of: () => policy.current },
      watcher: {
        opened: (agent) => void seen.push(`${agent.id} is there`),
        closed: (agentId, { code }) => void seen.push(`${agentId} is gone: ${code}`),
        heartbeat: (agentId, { fault }) => void seen.push(`${agentId} beats: ${fault}`),
      },
      packsWanted: () => Buffer.from(ServerMessage.encode({ kind: undefined }).finish()),
      clock: systemClock,
      random: () => 0,
      log: { info: none, warn: none, error: none },
      observe: {
        opened: none,
        superseded: none,
        refused: none,
        closed: none,
        frame: none,
        stage: none,
        queuedBytes: none,
        outputRefused: none,
      },
    },
    { heartbeatIntervalMs: 15_000, maxAgents: 1_000 },
  );
  return {
    changes,
    sessions,
    policy,
    seen,
    connect(agentId: string, hello: Partial<Hello> = {}) {
      const heard: NonNullable<ServerMessage['kind']>[] = [];
      const link: Link = {
        agentId,
        remoteAddress: '',
        tlsProtocol: '',
        tlsCipher: '',
        certificateExpiresUnixMs: () => Date.now() + 1_000_000,
        write(message, flushed) {
          const { kind } = ServerMessage.decode(message);
          if (kind) heard.push(kind);
          setImmediate(flushed);
        },
        end() {},
        destroy() {},
        socketBytes: () => ({ up: 0, down: 0 }),
      };
      const session = sessions.attach(link);
      const say = (kind: NonNullable<AgentMessage['kind']>) =>
        session.receive(Buffer.from(AgentMessage.encode({ kind }).finish()));
      const value = Hello.create({
        protocolMin: 1,
        protocolMax: 1,
        instanceId: agentId,
        machineId: agentId,
        journalId: agentId,
        ...hello,
      });
      say({ $case: 'hello', value });
      return { heard, say, session };
    },
  };
}

const until = async (holds: () => boolean) => {
  for (let waits = 0; !holds() && waits < 200; waits++) await new Promise((resolve) => setTimeout(resolve, 5));
  expect(holds()).toBe(true);
};

describe('when the database fails between the opening of a session and the look at what it is owed', () => {
  const failsOnce = (rows: readonly OwedDispatch[]) => {
    let calls = 0;
    return async () => {
      if (calls++ === 0) throw new Error('the database is away');
      return { open: [...rows], waiting: [] };
    };
  };

  it('what is owed is looked at again: a cancel that came while the agent was away still reaches it', async () => {
    const { connect } = replica({ owed: { openAt: failsOnce([owed({ runCancelled: true })]) } });
    const { heard } = connect('a', { openRunIds: [RUN] });
    await until(() => heard.some(({ $case }) => $case === 'cancel'));
  });

  it('what the agent took meanwhile, in this session, is not called lost', async () => {
    const { connect, changes, sessions } = replica({
      owed: { openAt: failsOnce([owed(), owed({ runId: RUN.replace(/1$/, '2') })]) },
    });
    const { say } = connect('a');
    await until(() => sessions.isConnected('a'));
    const accepted = [{ runId: RUN, atUnixMs: 1n, queuePosition: 0 }];
    say({ $case: 'taskReports', value: { accepted, started: [], progress: [], results: [] } });
    await until(() => changes.some(({ state }) => state === 'lost'));
    expect(changes.filter(({ state }) => state === 'lost').map(({ runId }) => runId)).toEqual([RUN.replace(/1$/, '2')]);
  });
});

it('a message with more in it than a function takes arguments, before it is settled what the agent is owed, is taken as any other', async () => {
  const { connect, changes, sessions } = replica({ owed: { openAt: () => new Promise(() => {}) } });
  const { say } = connect('a');
  await until(() => sessions.isConnected('a'));
  const accepted = Array.from({ length: 130_000 }, () => ({ runId: RUN, atUnixMs: 0n, queuePosition: 0 }));
  say({ $case: 'taskReports', value: { accepted, started: [], progress: [], results: [] } });
  expect(changes).toHaveLength(130_000);
});

it('an agent that reports more than may wait for the database is told to come back later', async () => {
  const { connect, changes, sessions, seen } = replica({ changesTaken: 2 });
  const { heard, say } = connect('a');
  await until(() => sessions.isConnected('a'));
  const accepted = Array.from({ length: 3 }, () => ({ runId: RUN, atUnixMs: 0n, queuePosition: 0 }));
  say({ $case: 'taskReports', value: { accepted, started: [], progress: [], results: [] } });
  await until(() => seen.includes('a is gone: SERVER_BUSY'));
  expect(heard.at(-1)?.$case).toBe('disconnect');
  expect(changes).toHaveLength(2);
});

it('while the database hangs, presence is not stored a second time beside the first', async () => {
  let stored = 0;
  const seen = () => {
    stored++;
    return new Promise<never>(() => {});
  };
  const { connect, sessions } = replica({ store: { seen } });
  connect('a');
  await until(() => sessions.isConnected('a'));
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  onTestFinished(() => void vi.useRealTimers());
  sessions.start();
  vi.advanceTimersByTime(10 * 15_000);
  expect(stored).toBe(1);
});

describe('an agent that comes back', () => {
  const run = (i: number) => RUN.replace(/1$/, `${i}`);
  const orders = async (runIds: readonly string[]) => runIds.map(orderOf);
  const tasksIn = (heard: readonly NonNullable<ServerMessage['kind']>[]) =>
    heard.flatMap((kind) => (kind.$case === 'tasks' ? kind.value.tasks.map((task) => task.runId) : []));

  it('gets again what it may not have got, then what waits, and in all no more than it has room for', async () => {
    const open = [owed({ runId: run(1) }), owed({ runId: run(2), state: 'sent' })];
    const asked: number[] = [];
    const { connect, sessions } = replica({
      owed: {
        openAt: async () => ({ open, waiting: ['a'] }),
        async takeQueued(rooms) {
          asked.push(...rooms.map(({ places }) => places));
          return asked.length > 1 ? [] : [{ runId: run(3), agentId: 'a', parameterBytes: 2 }];
        },
        orders,
      },
    });
    const { heard } = connect('a', { capacity: 1, queueLimit: 2, openRunIds: [run(1)] });
    await until(() => tasksIn(heard).length === 2);
    expect(tasksIn(heard)).toEqual([run(2), run(3)]);
    expect(asked).toEqual([1]);
    expect(sessions.reserve(run(4), 'a', 2)).toBe('full');
    sessions.ended(run(1), 'a');
    await until(() => asked.length === 2);
    expect(sessions.reserve(run(4), 'a', 2)).toBe('taken');
  });

  it('with a smaller queue than before gets the rest of what was sent when there is room', async () => {
    const open = [1, 2, 3].map((i) => owed({ runId: run(i), state: 'sent' }));
    const { connect, sessions } = replica({ owed: { openAt: async () => ({ open, waiting: [] }), orders } });
    const { heard } = connect('a', { capacity: 1, queueLimit: 0 });
    await until(() => tasksIn(heard).length === 1);
    sessions.deliver(open);
    await until(() => tasksIn(heard).length === 2);
    sessions.ended(run(1), 'a');
    sessions.deliver(open.slice(1));
    await until(() => tasksIn(heard).length === 3);
    // The first was said again, since nobody answered it.
    expect(tasksIn(heard)).toEqual([run(1), run(1), run(2)]);
  });

  it('is welcomed while the store still looks up what others are owed', async () => {
    const looking = Promise.withResolvers<void>();
    const { connect } = replica({
      owed: {
        async openAt() {
          await looking.promise;
          return { open: [], waiting: [] };
        },
      },
    });
    connect('a');
    await new Promise((resolve) => setTimeout(resolve, 20));
    const { heard } = connect('b');
    await until(() => heard.some(({ $case }) => $case === 'welcome'));
    looking.resolve();
  });

  it('by the thousand is looked at two hundred at a time, so that one statement holds up nobody', async () => {
    const sizes: number[] = [];
    const { connect } = replica({
      owed: {
        async openAt(agentIds) {
          sizes.push(agentIds.length);
          return { open: [], waiting: [] };
        },
      },
    });
    for (let i = 0; i < 1_000; i++) connect(`a${i}`);
    await until(() => sizes.reduce((sum, size) => sum + size, 0) === 1_000);
    expect(Math.max(...sizes)).toBe(200);
  });
});

describe('what an agent says of itself', () => {
  it('reaches the database without the NUL characters that PostgreSQL refuses: nobody else would be let in', async () => {
    const records: HelloRecord[] = [];
    const states: PackStateRecord[] = [];
    const { connect } = replica({
      store: {
        open: async (hellos) => {
          records.push(...hellos);
          return new Map(
            hellos.map((h) => [
              h.agentId,
              {
                kind: 'opened',
                agent: aboutOf(h.agentId),
                pinnedLabels: {},
                epoch: 1,
                journalReplaced: false,
                sameProcess: false,
              } as const,
            ]),
          );
        },
        packStates: async (rows) => void states.push(...rows),
      },
    });
    const { say, session } = connect('a', { agentVersion: '1\0', journalId: 'j\0' });
    await until(() => session.state.kind === 'ready');
    const pack = { digest: Buffer.alloc(32), ready: false, reasonCode: 'X\0', reason: 'r\0' };
    say({ $case: 'packStatus', value: { packs: [pack] } });
    await until(() => states.length > 0);
    expect(JSON.stringify([records, states])).not.toContain('\\u0000');
  });
});

describe('the labels that are pinned to an agent', () => {
  const capabilities = ['parameters-from'];
  const pinned = (heard: readonly NonNullable<ServerMessage['kind']>[]) =>
    heard.flatMap((kind) =>
      kind.$case === 'welcome' ? [kind.value.pinnedLabels] : kind.$case === 'pinnedLabels' ? [kind.value.labels] : [],
    );

  it('are told with Welcome, and when they change', async () => {
    const { connect, sessions } = replica();
    const { heard } = connect('a', { capabilities });
    await until(() => pinned(heard).length === 1);
    sessions.pinnedChanged('a', { role: 'web' });
    sessions.pinnedChanged('somebody else', { role: 'web' });
    await until(() => pinned(heard).length === 2);
    expect(pinned(heard)).toEqual([{ role: 'db' }, { role: 'web' }]);
  });

  it('are those of the change that came while its Hello was stored', async () => {
    const { connect, sessions } = replica();
    const { heard } = connect('a', { capabilities });
    sessions.pinnedChanged('a', { role: 'web' });
    await until(() => pinned(heard).length === 1);
    expect(pinned(heard)).toEqual([{ role: 'web' }]);
  });

  it('are not told to one of an older version', async () => {
    const { connect, sessions } = replica();
    const { heard } = connect('a');
    await until(() => pinned(heard).length === 1);
    sessions.pinnedChanged('a', { role: 'web' });
    expect(pinned(heard)).toEqual([{}]);
  });
});

describe('a task whose parameters are of the target', () => {
  const task = { ...orderOf('r'), parametersFrom: { path: 'label:data-dir' }, parameterBytes: 2 };
  const message = encodeTasks([task], new Date());

  it('goes to those that put them in, and ends as rejected at one of an older version', async () => {
    const { connect, sessions, changes } = replica();
    const able = connect('able', { capabilities: ['parameters-from'] });
    const old = connect('old');
    await until(() => sessions.count() === 2);
    expect(['able', 'old', 'away'].map((id) => sessions.fillsIn(id))).toEqual([true, false, true]);
    sessions.sendTask(task, ['able', 'old'], message);
    await until(() => able.heard.some(({ $case }) => $case === 'tasks'));
    expect(able.heard.at(-1)).toMatchObject({ value: { tasks: [{ parametersFrom: task.parametersFrom }] } });
    expect(changes).toMatchObject([{ runId: 'r', agentId: 'old', state: 'rejected', reasonCode: 'AGENT_OUTDATED' }]);
    sessions.sendTask({ runId: 'r2', parameterBytes: 2 }, ['old'], encodeTasks([orderOf('r2')], new Date()));
    await until(() => old.heard.some(({ $case }) => $case === 'tasks'));
  });

  it('ends so also when it waited for an agent that comes back with an older version', async () => {
    const open = [owed({ runId: 'r', agentId: 'old', state: 'sent' })];
    const { connect, changes } = replica({
      owed: {
        openAt: async () => ({ open, waiting: [] }),
        orders: async () => [task],
      },
    });
    const { heard } = connect('old');
    await until(() => changes.length === 1);
    expect(changes).toMatchObject([{ runId: 'r', agentId: 'old', state: 'rejected', reasonCode: 'AGENT_OUTDATED' }]);
    expect(heard.some(({ $case }) => $case === 'tasks')).toBe(false);
  });
});

describe('the policy of an agent', () => {
  const watchesTold = (heard: readonly NonNullable<ServerMessage['kind']>[]) =>
    heard.flatMap((kind) => (kind.$case === 'policy' ? kind.value.overrides.map(({ watchName }) => watchName) : []));

  it('is told after Welcome, which names its heartbeat, and again when another one holds', async () => {
    const { connect, sessions, policy } = replica();
    const { heard, session } = connect('a', { capabilities: ['events'] });
    await until(() => watchesTold(heard).length === 1);
    expect(heard[0]).toMatchObject({ $case: 'welcome', value: { heartbeatIntervalMs: 7 } });
    expect(heard[1]).toMatchObject({ $case: 'policy' });
    sessions.policiesChanged([aboutOf('a'), aboutOf('somebody else')]);
    policy.current = policyOf(90_000, 'second');
    sessions.policiesChanged([aboutOf('a')]);
    sessions.policiesChanged([aboutOf('a')]);
    await until(() => watchesTold(heard).length === 2);
    expect(watchesTold(heard)).toEqual(['first', 'second']);
    expect(session.state).toMatchObject({ nextSilenceMs: 90_000 });
  });
  it('is not told to one that did not offer to take it', async () => {
    const { connect } = replica();
    const { heard, session } = connect('a');
    await until(() => session.state.kind === 'ready' && heard.length > 0);
    expect(watchesTold(heard)).toEqual([]);
  });
});

describe('who watches lines', () => {
  it('hears of each that comes, beats, and goes, and how it went', async () => {
    const { connect, seen } = replica();
    const { say, session } = connect('a');
    await until(() => session.state.kind === 'ready');
    say({ $case: 'heartbeat', value: Heartbeat.create({ fault: 'journal: full' }) });
    say({ $case: 'goodbye', value: { reason: 'upgrade' } });
    const second = connect('b');
    await until(() => second.session.state.kind === 'ready');
    second.session.streamEnded();
    expect(seen).toEqual([
      'a is there',
      'a beats: journal: full',
      'a is gone: GOODBYE',
      'b is there',
      'b is gone: ENDED_BY_AGENT',
    ]);
  });
});

describe('an end', () => {
  it('of the server does not wait for a database that is away', async () => {
    const { connect, sessions } = replica({
      store: {
        ended: async () => {
          throw new Error('the database is away');
        },
      },
    });
    connect('a');
    await until(() => sessions.isConnected('a'));
    const outcome = await Promise.race([
      sessions.stop().then(() => 'stopped'),
      new Promise((resolve) => setTimeout(resolve, 4_000, 'waits')),
    ]);
    expect(outcome).toBe('stopped');
  });

  it('of a session is told why, also when another message is on its way', async () => {
    const { connect, sessions } = replica();
    const { heard } = connect('a');
    await until(() => sessions.isConnected('a'));
    sessions.sendControl(['a'], Buffer.from(ServerMessage.encode({ kind: undefined }).finish()));
    sessions.close('a', 'AGENT_REVOKED', 'it was revoked');
    await until(() => heard.some(({ $case }) => $case === 'disconnect'));
  });
});
