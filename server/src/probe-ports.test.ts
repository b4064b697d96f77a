import { type AddressInfo, createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { loadConfig } from './config/config.ts';
import { probePorts } from './probe-ports.ts';
import { startServer } from './server.ts';

const other = createServer();
afterEach(() => new Promise((resolve) => other.close(resolve)));
const listen = (port: number) =>
  new Promise<number>((resolve) => {
    other.listen(port, '127.0.0.1', () => resolve((other.address() as AddressInfo).port));
  });

describe('the ports of a server that starts', () => {
  it.each(['agentListen', 'operatorListen', 'metricsListen'])(
    'are looked at before its database: %s may be that of another server',
    async (key) => {
      const taken = `127.0.0.1:${await listen(0)}`;
      const free = { agentListen: '127.0.0.1:0', operatorListen: '127.0.0.1:0', metricsListen: '127.0.0.1:0' };
      const databaseUrl = 'postgres://nobody@127.0.0.1:1/none';
      const config = loadConfig({ flags: { ...free, databaseUrl, [key]: taken } });
      await expect(startServer(config, { info() {}, warn() {}, error() {} } as never)).rejects.toMatchObject({
        code: 'PORT_IN_USE',
        message: `another program listens on ${taken} (${key})`,
      });
    },
  );

  it('are free afterwards', async () => {
    const port = await listen(0);
    await new Promise((resolve) => other.close(resolve));
    await probePorts({ agentListen: { host: '127.0.0.1', port } });
    expect(await listen(port)).toBe(port);
  });

  it('must be of this machine', async () => {
    await listen(0);
    const agentListen = { host: '192.0.2.1', port: 5723 };
    await expect(probePorts({ agentListen })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: 'agentListen: cannot listen on 192.0.2.1:5723 (EADDRNOTAVAIL)',
    });
  });
});
