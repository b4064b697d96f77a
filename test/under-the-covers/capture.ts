// Looks at one agent's link from outside: sockets, packets, and the messages in them. `npm run under-the-covers`; docs/under-the-covers.md
// is made of its output. Needs tshark, and the right to capture on the loopback interface (root, or the group wireshark).
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import {
  cleanup,
  connectionsTo,
  eventually,
  packsHeld,
  pushPacks,
  scratchDir,
  startAgent,
  startCli,
  startServer,
  type TestAgent,
  type TestServer,
} from '../harness/index.ts';
import { type Capture, costOf, decodeArgs, type Packet, readPackets, showMessages } from './wire.ts';

const root = join(import.meta.dirname, '..', '..');
/** Kept, so that one can open it in Wireshark. */
const keptDir = join(root, '.openline', 'under-the-covers');
/** What belongs to one heartbeat or task is over by then: the last is a TCP acknowledgement, which waits for company. */
const QUIET_MS = 1_000;
const NAME = 'looked-at';
/** Room for both tasks between two of them, and all is over before the keepalive of 30 s. Their bytes are the same as with 15 s. */
const HEARTBEAT_MS = 6_000;
const HEARTBEATS_PER_DAY = 86_400 / 15;

const quiet = () => new Promise<void>((resolve) => setTimeout(resolve, QUIET_MS));
const megabytes = (bytes: number) => `${((bytes * HEARTBEATS_PER_DAY) / 1e6).toFixed(2)} MB`;
const relative = (path: string) => path.slice(root.length + 1);
const quote = (arg: string) => {
  if (arg.includes('$PWD')) return `"${arg.replaceAll('"', '\\"')}"`;
  return /^[\w./:=,-]+$/.test(arg) ? arg : `'${arg}'`;
};

if (spawnSync('tshark', ['--version']).status !== 0) {
  console.error(
    'tshark is missing: it captures and decodes the packets. On Debian or Ubuntu: `apt-get install tshark`; on macOS: `brew install wireshark`.',
  );
  process.exit(1);
}
mkdirSync(keptDir, { recursive: true });
const file = join(keptDir, 'link.pcapng');
const keys = join(keptDir, 'tls-keys.log');
for (const old of [file, keys]) rmSync(old, { force: true });

try {
  await main();
} finally {
  await cleanup();
}

async function main(): Promise<void> {
  const dir = scratchDir('under-the-covers');
  const server = await startServer({ dir, flags: ['--heartbeat-interval', `${HEARTBEAT_MS}ms`] });
  await pushPacks(server, [join(root, 'packs', 'shipped', 'utility.yaml')]);
  const capture: Capture = { file, keys, serverPort: server.agentPort, protoDir: join(root, 'proto') };
  const stopCapture = await startCapture(server.agentPort);

  // The agent's own process writes the keys of its connections down; no product code takes part.
  const agent = await startAgent({ dir, server, name: NAME, env: { NODE_OPTIONS: `--tls-keylog=${keys}` } });
  await packsHeld(server);
  await showSockets('connected', agent, server);
  const trace = startCli(server, ['trace', NAME]);
  const heartbeatsSeen = (count: number) =>
    eventually(() => trace.lines.filter((line) => line.includes('heartbeat_ack')).length >= count, {
      what: `heartbeat ${count}`,
      timeoutMs: 4 * HEARTBEAT_MS,
    });
  await heartbeatsSeen(2);
  await showSockets('after two heartbeats', agent, server);
  await quiet();
  await server.operator.run('utility/ping');
  await quiet();
  await server.operator.run('utility/echo', { parameters: { text: ['hello'] } });
  // Its answer says that both results are committed.
  await heartbeatsSeen(3);
  await quiet();
  await showSockets('after two tasks', agent, server);
  trace.signal('SIGINT');
  await trace.exited;
  await agent.stop();
  const restarted = await agent.restart();
  await showSockets('after a restart of the agent', restarted, server);
  await restarted.stop();
  await stopCapture();

  console.log(`\nopenline trace ${NAME}\n\n${trace.lines.join('\n')}`);
  const packets = await readPackets(capture);
  const heartbeats = packets.filter((packet) => packet.messages.includes('openline.agent.v1.Heartbeat'));
  const tasks = packets.filter((packet) => packet.messages.includes('openline.agent.v1.Task'));
  const parts = [
    ['one heartbeat', heartbeats[1]],
    ['utility/ping, which starts no process', tasks[0]],
    ['utility/echo, which starts a process and writes a line', tasks[1]],
    ['the heartbeat after both', heartbeats[2]],
  ] as const;
  const heartbeat = costOf(followedFrom(packets, heartbeats[1]));
  for (const [title, first] of parts) await show(title, followedFrom(packets, first), capture);
  console.log(
    `\nA heartbeat every 15 s is ${HEARTBEATS_PER_DAY} a day: ${HEARTBEATS_PER_DAY * heartbeat.packets} packets, ` +
      `${megabytes(heartbeat.ipBytes)} with IP and TCP headers, ${megabytes(heartbeat.tlsBytes)} of TLS, ${megabytes(heartbeat.protobufBytes)} of messages.`,
  );
  const shown = decodeArgs({ ...capture, file: relative(file), keys: relative(keys), protoDir: '$PWD/proto' });
  console.log(
    `\nDecode it again, from the root of the checkout:\n\n  tshark ${shown.map(quote).join(' ')} -O protobuf -Y protobuf`,
  );
}

/** Its packets until the connection is quiet again. */
function followedFrom(packets: readonly Packet[], first: Packet | undefined): Packet[] {
  if (first === undefined) throw new Error('the capture does not hold what was done: were the packets decoded?');
  const { agentPort, atMs } = first;
  return packets.filter(
    (packet) => packet.agentPort === agentPort && packet.number >= first.number && packet.atMs < atMs + QUIET_MS * 0.9,
  );
}

async function show(title: string, packets: readonly Packet[], capture: Capture): Promise<void> {
  const cost = costOf(packets);
  console.log(`\n${title}\n`);
  const startMs = packets[0]?.atMs ?? 0;
  for (const packet of packets) {
    const kind = packet.messages.map((name) => name.replace('openline.agent.v1.', '')).join(' ');
    const frames = packet.http2Frames.join(' ') || 'TCP acknowledgement';
    const cells = [
      `${(packet.atMs - startMs).toFixed(1)} ms`.padStart(9),
      packet.fromAgent ? 'up  ' : 'down',
      `${packet.ipBytes} B`.padStart(6),
      `TLS ${packet.tcpPayloadBytes} B`.padEnd(9),
      `HTTP/2 ${packet.http2Bytes} B`.padEnd(12),
      `protobuf ${packet.protobufBytes} B`.padEnd(14),
      `${frames} ${kind}`,
    ];
    console.log(cells.join('  ').trimEnd());
  }
  console.log(
    `\n${cost.packets} packets, ${cost.ipBytes} bytes with IP and TCP headers; ${cost.tlsBytes} bytes of TLS, ` +
      `${cost.http2Frames} HTTP/2 frames of ${cost.http2Bytes} bytes, ${cost.protobufBytes} bytes of messages\n`,
  );
  console.log(
    await showMessages(
      capture,
      packets.map(({ number }) => number),
    ),
  );
}

async function showSockets(when: string, agent: TestAgent, server: TestServer): Promise<void> {
  const sockets = await eventually(
    async () => {
      const found = await connectionsTo(agent.process.pid, server.agentPort);
      return found.length === 1 && found; // the one that enrolled may still be closing
    },
    { what: 'the agent to have one connection' },
  );
  for (const { state, localAddress, localPort, remoteAddress, remotePort } of sockets) {
    const line = `${state} ${localAddress}:${localPort} -> ${remoteAddress}:${remotePort} pid=${agent.process.pid}`;
    console.log(`${`${when}:`.padEnd(30)} ${line}`);
  }
}

/** @returns stops it, and resolves when the file is complete */
async function startCapture(port: number): Promise<() => Promise<void>> {
  // Packets of a loopback connection can be as large as 64 KiB: no two TCP segments are merged or cut by the capture itself.
  const args = ['-q', '-i', process.platform === 'darwin' ? 'lo0' : 'lo', '-f', `tcp port ${port}`, '-w', file];
  const child = spawn('tshark', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (data: Buffer) => {
    said += data.toString();
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  process.once('exit', () => child.kill('SIGKILL'));
  await eventually(
    () => {
      if (child.exitCode === null) return /Capture started|File:/.test(said) && statSync(file).size > 0;
      console.error(`tshark cannot capture on the loopback interface: it needs root, or the group wireshark.\n${said}`);
      process.exit(1);
    },
    { what: 'tshark to capture' },
  );
  return async () => {
    await quiet();
    child.kill('SIGINT');
    await exited;
  };
}
