import { createConnection, createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { connectionsTo, parseTcpTable, socketTable } from './sockets.ts';

const HEADER = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';
const rest = '00000000:00000000 00:00000000 00000000     0        0 4711 1 0000000000000000 20 4 30 10 -1';

describe('the socket table', () => {
  it('reads IPv4, IPv4 in IPv6, and IPv6', () => {
    const table = [
      HEADER,
      `   0: 0100007F:D431 0100007F:165B 01 ${rest}`,
      `   1: 0000000000000000FFFF00000100007F:165B 0000000000000000FFFF00000200A8C0:D431 06 ${rest}`,
      `   2: 00000000000000000000000001000000:165B 00000000000000000000000000000000:0000 0A ${rest}`,
    ].join('\n');
    expect(
      parseTcpTable(table).map(
        ({ inode, socket: s }) =>
          `${inode} ${s.state} ${s.localAddress} ${s.localPort} ${s.remoteAddress} ${s.remotePort}`,
      ),
    ).toEqual([
      '4711 ESTAB 127.0.0.1 54321 127.0.0.1 5723',
      '4711 TIME-WAIT 127.0.0.1 5723 192.168.0.2 54321',
      '4711 LISTEN ::1 5723 :: 0',
    ]);
  });

  it('shows the sockets of a living process, this one', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const client = createConnection(address.port, '127.0.0.1');
    const [accepted] = await Promise.all([
      new Promise<{ destroy(): void }>((resolve) => server.once('connection', resolve)),
      new Promise<void>((resolve) => client.once('connect', resolve)),
    ]);
    expect(await connectionsTo(process.pid, address.port)).toMatchObject([
      { localPort: client.localPort, state: 'ESTAB' },
    ]);
    expect(
      (await socketTable(process.pid))
        .filter((s) => s.localPort === address.port)
        .map((s) => s.state)
        .sort(),
    ).toEqual(['ESTAB', 'LISTEN']);
    client.destroy();
    accepted.destroy();
    server.close();
  });
});
