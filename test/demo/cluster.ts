import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../server/src/clock.ts';
import { findPostmaster } from '../../server/src/db/embedded/postmaster.ts';
import { stop as stopPostgres } from '../../server/src/db/embedded/start.ts';
import { eventually } from '../harness/eventually.ts';
import { localAccess, type Operator, operatorClient } from '../harness/operator.ts';
import { AGENT, OPENLINE } from '../harness/paths.ts';
import { type Child, readLog, startService } from './children.ts';
import { agentData, SERVER_DATA, shown } from './places.ts';
import { freePort, type Port } from './ports.ts';

export interface Server {
  readonly child: Child;
  readonly agentPort: number;
  readonly operatorPort: number;
  readonly metricsPort: number;
  readonly caHash: string;
  readonly caPem: string;
  readonly operator: Operator;
}

const READY_WITHIN_MS = 60_000;
/** A demo that was killed a moment ago leaves processes that are about to stop. */
const PREDECESSOR_ENDS_WITHIN_MS = 20_000;

/** As it is shown; the demo adds what keeps it to itself. */
export function serverCommand(ports: readonly Port[]): string[] {
  const [agents, operators, metrics] = ports.map(({ port }) => `127.0.0.1:${port}`);
  return [
    'server',
    `--data-dir=${shown(SERVER_DATA)}`,
    `--agent-listen=${agents}`,
    `--operator-listen=${operators}`,
    `--metrics-listen=${metrics}`,
    '--advertise=localhost,127.0.0.1',
    // Not the usual 15 s: the last step waits for one.
    '--heartbeat-interval=5s',
  ];
}

export function choosePorts(): Promise<Port[]> {
  return Promise.all([5723, 5724, 9464].map(freePort));
}

/** Resolves when it is ready. @throws Error with what its log says */
export async function startServer(ports: readonly Port[], began: (child: Child) => void): Promise<Server> {
  const sinceMs = performance.now();
  for (;;) {
    const child = startService('server', [OPENLINE, ...serverCommand(ports)]);
    began(child);
    const line = await eventually(() => (child.hasExited() ? 'ended' : readyLine()), {
      what: 'the server to be ready',
      timeoutMs: READY_WITHIN_MS,
    });
    if (line === 'ended') {
      await waitForPredecessor('server', sinceMs);
      continue;
    }
    const access = await localAccess(SERVER_DATA);
    return { child, operator: operatorClient(access), caPem: access.caPem, ...line };
  }
}

/** @throws Error when it is not a predecessor that keeps it from starting */
async function waitForPredecessor(name: string, sinceMs: number): Promise<void> {
  const said = readLog(name);
  const passing = said.includes('DATA_DIR_IN_USE') && performance.now() - sinceMs < PREDECESSOR_ENDS_WITHIN_MS;
  if (!passing) throw new Error(`${name} did not start:\n${telling(said)}`);
  await new Promise((resolve) => setTimeout(resolve, 300));
}

/** What the server says of itself when it lets agents and operators in. */
function readyLine() {
  const text = readLog('server')
    .split('\n')
    .find((line) => line.includes('"msg":"ready"'));
  if (text === undefined) return undefined;
  const { agentPort, operatorPort, metricsPort, caHash } = JSON.parse(text);
  return {
    agentPort: Number(agentPort),
    operatorPort: Number(operatorPort),
    metricsPort: Number(metricsPort),
    caHash: String(caHash),
  };
}

/** The end of a log, without its JSON of normal life. */
function telling(log: string): string {
  const lines = log.split('\n').filter((line) => line !== '' && !line.includes('"level":"info"'));
  return lines.slice(-6).join('\n') || 'it said nothing';
}

/** Of a server that was killed: nobody else would stop it. */
export async function stopOrphanedPostgres(): Promise<void> {
  const files = join(SERVER_DATA, 'postgres', 'data');
  const orphan = existsSync(files) ? findPostmaster(files) : undefined;
  if (orphan !== undefined) await stopPostgres(orphan.pid, systemClock);
}

export interface Agent {
  readonly name: string;
  readonly child: Child;
}

/** Whether the agent has an identity, of this server, that is good for another hour. */
export function hasIdentity(name: string, { caPem }: Server): boolean {
  try {
    const dir = join(agentData(name), 'identity');
    const { certificateFile } = JSON.parse(readFileSync(join(dir, 'agent.json'), 'utf8'));
    const certificate = new X509Certificate(readFileSync(join(dir, String(certificateFile))));
    const goodUntil = certificate.validToDate.getTime();
    return certificate.verify(new X509Certificate(caPem).publicKey) && goodUntil > Date.now() + 3600_000;
  } catch {
    return false; // there is none, or only half of one
  }
}

/** Of an agent that cannot come back as itself: it enrols as a new one. */
export async function forgetAgent(name: string, { operator }: Server): Promise<void> {
  rmSync(agentData(name), { recursive: true, force: true });
  const known = await operator.agents(`name=${name}`);
  if (known.length > 0) await operator.deleteAgent(name);
}

/** As it is shown. @param caHash only of an agent that enrols */
export function agentCommand(name: string, server: Server, caHash?: string): string[] {
  const flags = [`--name=${name}`, `--data-dir=${shown(agentData(name))}`, `--server=localhost:${server.agentPort}`];
  return ['agent', ...flags, ...(caHash === undefined ? [] : [`--ca-hash=${caHash}`])];
}

/**
 * Resolves when the server has heard of it.
 * @param joinToken of an agent that enrols
 * @throws Error with what its log says
 */
export async function startAgent(name: string, server: Server, joinToken?: string): Promise<Agent> {
  const sinceMs = performance.now();
  const [, ...flags] = agentCommand(name, server, joinToken === undefined ? undefined : server.caHash);
  for (;;) {
    const startedUnixMs = BigInt(Date.now());
    // By the environment: command lines are visible to all users of a machine.
    const env = joinToken === undefined ? {} : { OPENLINE_AGENT_JOIN_TOKEN: joinToken };
    const child = startService(name, [AGENT, ...flags], env);
    const answer = await eventually(
      async () => {
        if (child.hasExited()) return 'ended';
        const [agent] = await server.operator.agents(`name=${name}`);
        return agent?.online === true && agent.connectedUnixMs >= startedUnixMs && 'online';
      },
      { what: `agent ${name} to connect`, timeoutMs: 30_000 },
    );
    if (answer === 'online') return { name, child };
    await waitForPredecessor(name, sinceMs);
  }
}
