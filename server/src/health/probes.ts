import { type ChildProcess, spawn } from 'node:child_process';
import { createConnection, isIP } from 'node:net';
import type { Evidence } from './diagnosis.ts';

/** Looks from here at the node of a lost line. Nothing here throws: what cannot be looked at is skipped, with a note that says why. */
export interface Prober {
  look(target: Target): Promise<Evidence>;
}

export interface Target {
  /** Where the agent came from when it was last connected: "address:port". */
  readonly remoteAddress: string;
  /** Agents of other hosts come from the same address. */
  readonly shared: boolean;
  /** Of its Kubernetes node; undefined: it runs on none. */
  readonly node: string | undefined;
}

/** Asks the control plane of the cluster that this server runs in. */
export interface NodeReader {
  read(name: string): Promise<{ readonly state: Evidence['node']; readonly note: string }>;
}

export interface ProberConfig {
  /** How long each look may take, milliseconds. */
  readonly timeoutMs: number;
}

export function createProber(nodes: NodeReader | undefined, { timeoutMs }: ProberConfig): Prober {
  /** Once it is known that there is no `ping`, or that it may not be used, nobody is asked again. */
  let noPing = '';
  return {
    async look({ remoteAddress, shared, node }) {
      const address = parseAddress(remoteAddress);
      const notes: string[] = [];
      const [tcp, icmp, ready] = await Promise.all([
        address === undefined ? undefined : connect(address, timeoutMs),
        address === undefined || noPing !== '' ? undefined : ping(address.host, timeoutMs),
        node === undefined || nodes === undefined ? undefined : nodes.read(node),
      ]);
      if (icmp?.kind === 'impossible') noPing = icmp.why;
      if (address === undefined)
        notes.push(`its address «${remoteAddress}» cannot be read, so nothing was asked there`);
      else if (shared)
        notes.push(`${address.host} is also the address of agents on other hosts: a gateway may answer for it`);
      if (tcp !== undefined)
        notes.push(`TCP to ${remoteAddress}: ${shared ? tcp.note.replace(NODE_THERE, '') : tcp.note}`);
      if (icmp?.kind === 'answer') notes.push(`ping: ${icmp.answers ? 'it answers' : 'no answer'}`);
      else if (address !== undefined) notes.push(`ping: skipped, ${noPing}`);
      if (ready !== undefined) notes.push(`Kubernetes: ${ready.note}`);
      return {
        tcp: tcp?.state ?? 'skipped',
        icmp: icmp?.kind !== 'answer' ? 'skipped' : icmp.answers ? 'answers' : 'silent',
        node: ready?.state ?? 'skipped',
        shared,
        notes,
      };
    },
  };
}

interface Address {
  readonly host: string;
  readonly port: number;
}

function parseAddress(text: string): Address | undefined {
  const [, host = '', port = ''] = /^\[?([0-9a-fA-F.:%]+?)\]?:(\d{1,5})$/.exec(text) ?? [];
  return isIP(host) === 0 || Number(port) > 65_535 ? undefined : { host, port: Number(port) };
}

/** Unless somebody else has the address too. */
const NODE_THERE = ', so the node is there';

/** No port of the node need be open: a kernel that is there refuses. */
function connect({ host, port }: Address, timeoutMs: number): Promise<{ state: Evidence['tcp']; note: string }> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port });
    const done = (state: Evidence['tcp'], note: string) => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ state, note });
    };
    const timer = setTimeout(() => done('silent', `no answer within ${timeoutMs} ms`), timeoutMs);
    socket.on('connect', () => done('accepted', `accepted${NODE_THERE}`));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      switch (error.code) {
        case 'ECONNREFUSED':
        case 'ECONNRESET':
          return done('refused', `refused${NODE_THERE}`);
        case 'EHOSTUNREACH':
        case 'EHOSTDOWN':
          return done('host-unreachable', 'the network says that the host is not there');
        case 'ENETUNREACH':
        case 'ENETDOWN':
          return done('no-route', 'there is no route to its network');
        case 'ETIMEDOUT':
          return done('silent', 'no answer');
        default:
          return done('skipped', `could not be asked (${error.code ?? error.message})`);
      }
    });
  });
}

type Ping =
  | { readonly kind: 'answer'; readonly answers: boolean }
  | { readonly kind: 'impossible'; readonly why: string };

/** By the system's `ping`, which has the right to: raw sockets need privileges that a server should not have. No shell. */
function ping(host: string, timeoutMs: number): Promise<Ping> {
  if (process.platform !== 'linux')
    return Promise.resolve({ kind: 'impossible', why: `not done on ${process.platform}` });
  const seconds = String(Math.max(1, Math.ceil(timeoutMs / 1_000)));
  return new Promise((resolve) => {
    let child: ChildProcess;
    try {
      child = spawn('ping', ['-n', '-q', '-c', '1', '-W', seconds, host], { stdio: 'ignore' });
    } catch (error) {
      // At once, for instance where a container forbids what the program's file asks for.
      return resolve({ kind: 'impossible', why: error instanceof Error ? error.message : 'unknown' });
    }
    const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs + 1_000);
    const done = (result: Ping) => {
      clearTimeout(timer);
      resolve(result);
    };
    child.on('error', (error: NodeJS.ErrnoException) =>
      done({ kind: 'impossible', why: error.code === 'ENOENT' ? 'there is no ping program here' : error.message }),
    );
    // 0: an answer. 1: none. Anything else: it could not ask.
    child.on('exit', (code) => {
      if (code === 0 || code === 1 || code === null) done({ kind: 'answer', answers: code === 0 });
      else done({ kind: 'impossible', why: 'ping is not permitted here' });
    });
  });
}
