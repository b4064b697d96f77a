import { createServer } from 'node:net';

export interface Port {
  readonly port: number;
  /** The one that was wanted, and is taken. */
  readonly instead: number | undefined;
}

/** The wanted port of this machine, or else any that is free. */
export async function freePort(wanted: number): Promise<Port> {
  // Who says "localhost" may come by either address.
  const addresses = ['127.0.0.1', '::1'];
  const taken = await Promise.all(addresses.map((host) => isTaken(host, wanted)));
  if (!taken.includes(true)) return { port: wanted, instead: undefined };
  return { port: 0, instead: wanted };
}

function isTaken(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    // Any other error, such as a machine without IPv6, is no reason to avoid the port.
    probe.once('error', (error: NodeJS.ErrnoException) =>
      resolve(error.code === 'EADDRINUSE' || error.code === 'EACCES'),
    );
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(false)));
  });
}
