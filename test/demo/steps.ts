import { eventually } from '../harness/eventually.ts';
import { connectionsTo } from '../harness/sockets.ts';
import { expectEnds, expectExit } from './checks.ts';
import { isRunning, stopChild } from './children.ts';
import { type Agent, agentCommand, forgetAgent, hasIdentity, type Server, startAgent } from './cluster.ts';
import { mail } from './mail.ts';
import { command, cut, note, print } from './screen.ts';
import { ask, newestRun, type, typeAside } from './shell.ts';

export interface Stage {
  readonly server: Server;
  readonly agents: Map<string, Agent>;
}

export interface Step {
  readonly name: string;
  /** What happens and why it matters. */
  readonly why: string;
  /** Without it, no later step makes sense. */
  readonly needed?: true;
  /** @throws Error with the reason */
  perform(stage: Stage): Promise<void>;
}

const FLEET: Readonly<Record<string, readonly string[]>> = {
  'web-1': ['role=web', 'env=prod'],
  'web-2': ['role=web', 'env=test'],
  'db-1': ['role=db', 'env=prod'],
};
const NAMES = Object.keys(FLEET);
const succeeded = { state: 'succeeded', exitCode: 0 };

/** Lines of the machine itself may be longer than a screen is wide. */
const CUT = '| cut -c -80';

const enrol: Step = {
  name: 'Three agents join and connect',
  needed: true,
  why: 'Each is a process of its own. It joins with a token that works once and the hash of the CA, so it knows the server before it says anything; then it has a certificate, and keeps one connection open (mutual TLS).',
  async perform({ server, agents }) {
    const known = NAMES.filter((name) => hasIdentity(name, server));
    const shownToken = 'OPENLINE_AGENT_JOIN_TOKEN=olj_…';
    const shownHash = `${server.caHash.slice(0, 15)}…`;
    const join = async (name: string) => {
      if (known.includes(name)) return await startAgent(name, server);
      await forgetAgent(name, server);
      const done = await ask(`${tokenCommand(name)} -o json`);
      expectExit(done, 0);
      return await startAgent(name, server, String(JSON.parse(done.stdout).secret));
    };
    if (known.length > 0) note(`${known.join(', ')}: enrolled before. The same identity comes back, without a token.`);
    for (const name of NAMES) {
      const line = (hash?: string) => `openline ${agentCommand(name, server, hash).join(' ')} &`;
      if (known.includes(name)) command(line());
      else command(tokenCommand(name), `${shownToken} ${line(shownHash)}`);
    }
    for (const agent of await Promise.all(NAMES.map(join))) agents.set(agent.name, agent);
    expectExit(await type('openline agents list'), 0);
  },
};

function tokenCommand(name: string): string {
  const labels = FLEET[name] ?? [];
  return `openline tokens create ${name} --join ${labels.map((label) => `--label ${label}`).join(' ')}`;
}

const packs: Step = {
  name: 'The shipped packs reach every agent',
  needed: true,
  why: 'A pack is a signed file of tasks. Agents fetch and verify it now, so that a run later carries nothing but a name and parameters.',
  async perform({ server }) {
    expectExit(await type('openline packs push utility linux'), 0);
    await eventually(
      async () => {
        const held = await server.operator.packs();
        return held.length >= 2 && held.every(({ readyAgents }) => readyAgents >= NAMES.length);
      },
      { what: 'every agent to hold both packs', timeoutMs: 30_000 },
    );
    expectExit(await type('openline packs list'), 0);
  },
};

const diskUsage: Step = {
  name: 'Disk usage on all agents',
  why: 'One run, three targets. The server writes the task down three connections that are open already: nobody polls, nobody logs in.',
  async perform({ server }) {
    expectExit(await type('openline run linux/disk-usage --on all --show-output'), 0);
    const { ends } = await newestRun(server.operator);
    const wanted = { ...succeeded, output: ['Filesystem', 'Mounted on'] };
    expectEnds(ends, Object.fromEntries(NAMES.map((name) => [name, wanted])));
  },
};

const busiest: Step = {
  name: 'Busiest processes of one agent',
  why: 'Targets are chosen by label. With --follow, standard output is the output of the task and nothing else, as it comes: it can be piped.',
  async perform({ server }) {
    const line = 'openline run linux/busiest-processes --on role=db -p count=6 -p seconds=1 --follow';
    expectExit(await type(`${line} ${CUT}`), 0);
    const { ends } = await newestRun(server.operator);
    expectEnds(ends, { 'db-1': { ...succeeded, output: ['PID', 'COMMAND'] } });
  },
};

const processStatus: Step = {
  name: 'Status of a process',
  why: 'Is PostgreSQL up, since when, and how much memory does it take? (linux/service-status asks systemd the same, where there is one.)',
  async perform({ server }) {
    const line = 'openline run linux/process-status --agent db-1 -p name=postgres --follow';
    expectExit(await type(`${line} ${CUT}`), 0);
    const { ends } = await newestRun(server.operator);
    expectEnds(ends, { 'db-1': { ...succeeded, output: ['PID', '.openline/server/postgres'] } });
  },
};

const awkward: Step = {
  name: 'Parameters that a shell would interpret',
  why: 'Parameters reach a process as arguments and environment variables, never as part of a command line. What looks like code stays text.',
  async perform({ server }) {
    const texts = [`it's "quoted"`, '$(reboot)', '`id`; exit 7', '* ? ~ \\n %s'];
    const parameters = texts.map((text) => `-p 'text=${text.replaceAll("'", "'\\''")}'`).join(' ');
    expectExit(await type(`openline run utility/echo --agent web-1 ${parameters}`), 0);
    const { ends } = await newestRun(server.operator);
    expectEnds(ends, { 'web-1': { ...succeeded, output: [`${texts.join('\n')}\n`] } });
  },
};

const script: Step = {
  name: 'A script of your own',
  why: 'The script is a parameter too. utility/shell is marked dangerous, so without a terminal to ask at it needs --yes; an agent can refuse it for good (--tasks-max-risk).',
  async perform({ server }) {
    const text = 'echo "$(uname -s) says: 6 * 7 = $((6 * 7))"';
    expectExit(await type(`openline run utility/shell --on env=test --yes -p 'script=${text}'`), 0);
    const { ends } = await newestRun(server.operator);
    expectEnds(ends, { 'web-2': { ...succeeded, output: ['6 * 7 = 42'] } });
  },
};

const cancelled: Step = {
  name: 'A slow task, watched and cancelled',
  why: 'What a task says of its progress is seen while it runs. After a moment this demo presses Ctrl-C, which here cancels the run: the agent ends the whole process group.',
  async perform({ server }) {
    const line = 'openline run utility/sleep --agent web-1 -p seconds=60 -p steps=60 --cancel-on-interrupt';
    const done = await type(line, async (shell) => {
      await eventually(async () => shell.hasExited() || (await progressOfNewest(server)) >= 5, {
        what: 'progress of the task',
        timeoutMs: 30_000,
        intervalMs: 100,
      });
      // On a terminal the table above shows it, live; a log gets states only.
      if (!process.stderr.isTTY) await type(`openline runs show ${(await newestRun(server.operator)).id}`);
      shell.signal('SIGINT');
    });
    expectExit(done, 130);
    const { ends } = await newestRun(server.operator);
    expectEnds(ends, { 'web-1': { state: 'cancelled', output: ['sleeping for 60 s'] } });
    const pid = Number(/as process (\d+)/.exec(ends[0]?.output ?? '')?.[1]);
    if (isRunning(pid)) throw new Error(`process ${pid} of the cancelled task is still there`);
  },
};

/** Percent. */
async function progressOfNewest({ operator }: Server): Promise<number> {
  const { id, task } = await newestRun(operator);
  if (task !== 'utility/sleep') return 0;
  const { dispatches } = await operator.getRun(id);
  return dispatches[0]?.progressPercent ?? 0;
}

const failing: Step = {
  name: 'A task that fails is shown as failed',
  why: 'The exit code decides. openline itself ends with 1 when any target did not succeed, so scripts and CI notice; `openline runs retry` takes only those.',
  async perform({ server }) {
    const line = `openline run utility/fail --on role=web -p exit-code=28 -p 'message=No space left on device'`;
    expectExit(await type(line), 1);
    const { ends } = await newestRun(server.operator);
    const wanted = { state: 'failed', exitCode: 28, output: ['No space left on device'] };
    expectEnds(ends, { 'web-1': wanted, 'web-2': wanted });
  },
};

const offline: Step = {
  name: 'A task waits for an agent that is away',
  why: 'With a time to live, a run waits in PostgreSQL until the agent is back; after it, the target is expired. Never is a target without a state and a reason.',
  async perform({ server, agents }) {
    const agent = agents.get('web-2');
    if (agent === undefined) throw new Error('web-2 was never started');
    command(`kill ${agent.child.pid}   # the agent web-2`);
    await stopChild(agent.child);
    const { operator } = server;
    await eventually(async () => (await operator.agents('name=web-2'))[0]?.online === false, {
      what: 'web-2 to be away',
    });
    expectExit(await type('openline run linux/memory-usage --agent web-2 --ttl 10m --detach'), 0);
    const { id, ends } = await newestRun(operator);
    expectEnds(ends, { 'web-2': { state: 'queued' } });
    expectExit(await type(`openline runs show ${id}`), 0);
    command(`openline ${agentCommand('web-2', server).join(' ')} &`);
    agents.set('web-2', await startAgent('web-2', server));
    expectExit(await type(`openline runs watch ${id}`), 0);
    expectEnds((await newestRun(operator)).ends, { 'web-2': { ...succeeded, output: ['available'] } });
  },
};

const wire: Step = {
  name: 'The task came down the open connection',
  why: 'openline trace shows each frame of an agent’s link and what it adds to the wire: here a task that starts no process. That its result is stored, the agent hears with the answer to its next heartbeat. The kernel’s socket table says that all of it is one and the same connection.',
  async perform({ server, agents }) {
    const pid = agents.get('web-1')?.child.pid ?? 0;
    const before = await connectionsOf(pid, server);
    const done = await typeAside('openline trace web-1 --count 4', async (shell) => {
      await eventually(() => shell.hasExited() || shell.stdout().includes('KIND'), { what: 'the trace to begin' });
      expectExit(await type('openline run utility/ping --agent web-1'), 0);
    });
    print();
    for (const line of done.stdout.trimEnd().split('\n')) print(cut(line));
    expectExit(done, 0);
    if (!/↓ tasks .*utility\/ping/.test(done.stdout)) throw new Error('the trace does not show the task');
    const after = await connectionsOf(pid, server);
    if (before === undefined || after === undefined) return;
    const ends = (connections: readonly string[]) => connections.join(' and ') || 'none';
    note(
      `Connections of process ${pid} to port ${server.agentPort}: from ${ends(before)} before, from ${ends(after)} after.`,
    );
    if (before.length !== 1 || before[0] !== after[0] || after.length !== 1) {
      throw new Error('it is not one and the same connection');
    }
    if (!done.stdout.includes(` ${before[0]},`)) throw new Error('the trace is of another connection');
  },
};

/** Its own ends of them; undefined where the kernel has no table to read. */
async function connectionsOf(pid: number, { agentPort }: Server): Promise<string[] | undefined> {
  if (process.platform !== 'linux') return undefined;
  return (await connectionsTo(pid, agentPort)).map(({ localAddress, localPort }) => `${localAddress}:${localPort}`);
}

export const STEPS: readonly Step[] = [
  enrol,
  packs,
  diskUsage,
  busiest,
  processStatus,
  awkward,
  script,
  cancelled,
  failing,
  offline,
  wire,
  mail,
];
