import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { enroll } from '../../agent/src/enrollment/enroll.ts';
import type { IdentityStore } from '../../agent/src/enrollment/identity-store.ts';
import { createLink } from '../../agent/src/link/link.ts';
import { DEFAULT_LINK_POLICY } from '../../agent/src/link/link-machine.ts';
import { openStream } from '../../agent/src/link/stream.ts';
import type { PackLibrary } from '../../agent/src/packs/library.ts';
import { createPackLibrary } from '../../agent/src/packs/pack-library.ts';
import { createSessionHandler } from '../../agent/src/session.ts';
import { systemClock } from '../../agent/src/tasks/clock.ts';
import type { TaskEngine, Uplink } from '../../agent/src/tasks/engine.ts';
import { createGroupLog, type GroupLog } from '../../agent/src/tasks/journal/group-log.ts';
import { diskFs } from '../../agent/src/tasks/journal/log-fs.ts';
import { createTaskEngine } from '../../agent/src/tasks/task-engine.ts';
import { createLog } from '../../agent/src/telemetry/log.ts';
import { eventually } from '../harness/eventually.ts';

export interface Fleet {
  stop(): Promise<void>;
}

export interface FleetConfig {
  readonly dir: string;
  /** host:port */
  readonly server: string;
  readonly caHash: string;
  readonly agents: readonly { readonly name: string; readonly joinToken: string }[];
  /** Enrolments under way at once. */
  readonly concurrency: number;
}

interface Shared {
  readonly journal: GroupLog;
  readonly packs: PackLibrary;
}

const log = createLog('error', (line) => process.stderr.write(line));

/** Enrols and starts all of them; resolves when the last one was started. The first fetches the packs, the others find them held. */
export async function createFleet(config: FleetConfig): Promise<Fleet> {
  await mkdir(config.dir, { recursive: true });
  let trustedKeys: readonly string[] = [];
  const shared: Shared = {
    journal: await createGroupLog(
      { fs: diskFs, clock: systemClock, log, probe: () => '{}\n' },
      { path: join(config.dir, 'journal'), validBytes: 0 },
    ),
    packs: await createPackLibrary(
      { clock: systemClock, random: Math.random, log, trustedKeys: () => trustedKeys, idle: () => false },
      { dataDir: config.dir },
    ),
  };
  const running: { stop(): Promise<void> }[] = [];
  const start = async ({ name, joinToken }: { name: string; joinToken: string }): Promise<void> => {
    const agent = await startSimulated(config, shared, name, joinToken);
    trustedKeys = agent.trustedPackKeys;
    running.push(agent);
  };
  const [first, ...rest] = config.agents;
  if (first !== undefined) {
    await start(first);
    await eventually(() => shared.packs.held().length > 0, { what: 'the first agent to fetch its packs' });
  }
  const next = rest[Symbol.iterator]();
  const inTurn = async (): Promise<void> => {
    for (const agent of next) await start(agent);
  };
  await Promise.all(Array.from({ length: config.concurrency }, inTurn));
  return {
    async stop() {
      await Promise.all(running.map((agent) => agent.stop()));
      await shared.journal.close();
    },
  };
}

/** The agent's own parts, wired as `agent/src/agent.ts` does, but for what is shared and for what a simulated machine lacks. */
async function startSimulated(config: FleetConfig, shared: Shared, name: string, joinToken: string) {
  const [host = '', port = ''] = config.server.split(':');
  const identity = await enroll(
    { store: forgetful, clock: systemClock, random: Math.random, log, signal: new AbortController().signal },
    {
      servers: [{ host, port: Number(port) }],
      name,
      credential: { kind: 'join', token: joinToken },
      caHash: config.caHash,
      caFile: undefined,
    },
  );
  const uplink: Uplink = { reports: (reports) => link.reports(reports), output: (chunk) => link.output(chunk) };
  const engine: TaskEngine = await createTaskEngine(
    { uplink, packs: shared.packs, log, sharedLog: shared.journal },
    { dataDir: join(config.dir, name), agentName: name, interpreters: {} },
  );
  const link = createLink(
    {
      clock: systemClock,
      random: Math.random,
      log,
      openStream,
      identity: () => identity,
      enrollAgain: () => Promise.resolve(false),
      handler: createSessionHandler(
        { link: () => link, engine: () => engine, packs: shared.packs, log },
        {
          machineId: name,
          labels: { role: 'bench' },
          facts: { os: process.platform, arch: process.arch, hostname: name },
        },
      ),
    },
    { servers: [config.server], policy: { ...DEFAULT_LINK_POLICY, servers: 1 } },
  );
  link.start();
  return {
    trustedPackKeys: identity.trustedPackKeys,
    async stop() {
      await engine.stop('the benchmark is over');
      await link.stop('the benchmark is over');
    },
  };
}

/** A simulated agent lives no longer than its process. */
const forgetful: IdentityStore = {
  load: () => Promise.resolve(undefined),
  save: () => Promise.resolve(),
  pendingKey: (generate) => Promise.resolve(generate()),
};
