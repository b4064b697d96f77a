import { once } from 'node:events';
import { createServer } from 'node:net';
import { type ChannelCredentials, Client, credentials } from '@grpc/grpc-js';
import { expect, it, onTestFinished } from 'vitest';
import { closedForGood } from './closed-for-good.ts';

const OPTIONS = { 'grpc.use_local_subchannel_pool': 1, 'grpc.initial_reconnect_backoff_ms': 300 } as const;

async function listen(port = 0) {
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.on('error', () => {}).destroy();
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { server, port: address.port, count: () => connections };
}

/** Dials where nobody listens, and closes its channel when that has failed. Then a server comes. */
async function dialInVain(make: (credentials: ChannelCredentials) => ChannelCredentials) {
  const { server, port } = await listen();
  server.close();
  await once(server, 'close');
  const client = new Client(`127.0.0.1:${port}`, make(credentials.createSsl()), OPTIONS);
  const same = (bytes: Buffer) => bytes;
  const call = client.makeBidiStreamRequest('/x/Connect', same, same);
  call.on('error', () => {});
  await new Promise<void>((resolve) => {
    call.on('status', () => {
      client.close();
      resolve();
    });
  });
  return listen(port);
}

it('a closed channel dials no more; without this, grpc-js makes one more connection', async () => {
  const [closed, asItIs] = await Promise.all([dialInVain(closedForGood), dialInVain((as) => as)]);
  // When this waits in vain, grpc-js has mended it, and closed-for-good.ts can go.
  await expect.poll(asItIs.count, { timeout: 25_000 }).toBe(1);
  // Its timer ran at the same time, within a fifth.
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(closed.count()).toBe(0);
});
