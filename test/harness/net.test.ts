import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from './eventually.ts';
import { type Network, startNetwork } from './net.ts';

let server: Server;
let network: Network;
let received: string;
let serverSockets: Socket[];
const agents: Socket[] = [];

beforeEach(async () => {
  received = '';
  serverSockets = [];
  server = createServer((socket) => {
    serverSockets.push(socket);
    socket.on('error', () => {});
    socket.on('data', (data) => {
      received += data;
      socket.write(data);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  network = await startNetwork(address.port);
});

afterEach(async () => {
  for (const agent of agents.splice(0)) agent.destroy();
  await network.close();
  for (const socket of serverSockets) socket.destroy();
  server.close();
});

function connect(): { socket: Socket; text(): string; closed(): boolean } {
  const socket = createConnection(network.port, '127.0.0.1');
  agents.push(socket);
  let text = '';
  let closed = false;
  socket.on('error', () => {});
  socket.on('data', (data) => {
    text += data;
  });
  socket.on('close', () => {
    closed = true;
  });
  return { socket, text: () => text, closed: () => closed };
}

const aWhile = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 60));

describe('the network of a test', () => {
  it('carries bytes both ways', async () => {
    const agent = connect();
    agent.socket.write('hello');
    await eventually(() => agent.text() === 'hello', { what: 'the echo' });
    expect(network.connections()).toBe(1);
  });

  it('frozen, carries nothing and closes nothing; thawed, it carries what was written meanwhile', async () => {
    const agent = connect();
    agent.socket.write('a');
    await eventually(() => agent.text() === 'a', { what: 'the echo' });
    network.freeze();
    agent.socket.write('b');
    await aWhile();
    expect([received, agent.closed()]).toEqual(['a', false]);
    network.thaw();
    await eventually(() => agent.text() === 'ab', { what: 'the echo after the thaw' });
  });

  it('frozen, does not tell one end that the other has gone', async () => {
    const agent = connect();
    agent.socket.write('a');
    await eventually(() => agent.text() === 'a', { what: 'the echo' });
    network.freeze();
    serverSockets[0]?.resetAndDestroy();
    await aWhile();
    expect(agent.closed()).toBe(false);
  });

  it('frozen, accepts new connections and stays silent', async () => {
    network.freeze();
    const agent = connect();
    agent.socket.write('a');
    await eventually(() => network.accepted() === 1, { what: 'the connection' });
    await aWhile();
    expect([received, agent.closed()]).toEqual(['', false]);
  });

  it('swallows one direction and carries the other', async () => {
    const agent = connect();
    agent.socket.write('a');
    await eventually(() => agent.text() === 'a', { what: 'the echo' });
    network.swallow('down');
    agent.socket.write('b');
    await eventually(() => received === 'ab', { what: 'the way up' });
    await aWhile();
    expect([agent.text(), agent.closed()]).toEqual(['a', false]);
  });

  it('cuts both ends', async () => {
    const agent = connect();
    agent.socket.write('a');
    await eventually(() => agent.text() === 'a', { what: 'the echo' });
    network.cut();
    await eventually(() => agent.closed() && serverSockets[0]?.destroyed, { what: 'both ends to close' });
  });

  it('refuses new connections until told otherwise', async () => {
    network.refuse(true);
    const refused = connect();
    await eventually(refused.closed, { what: 'the refusal' });
    network.refuse(false);
    const agent = connect();
    agent.socket.write('a');
    await eventually(() => agent.text() === 'a', { what: 'the echo' });
  });

  it('delays, and keeps the order', async () => {
    network.delay(30);
    const agent = connect();
    const startMs = performance.now();
    for (const letter of 'abc') {
      agent.socket.write(letter);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await eventually(() => agent.text() === 'abc', { what: 'the echo' });
    expect(performance.now() - startMs).toBeGreaterThan(55);
  });
});
