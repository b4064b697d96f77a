import { createServer } from 'node:net';

// Outside of what kernels give to connections that ask for no port (Linux from 32768, others from 49152): a server that is down for a
// moment finds its port free, whatever connects to whatever meanwhile.
const FIRST = 20_000;
const LAST = 32_000;

const given = new Set<number>();

/** A port of this machine on which nothing listens, never the same twice; where others look at the same time, chance keeps them apart. */
export async function stablePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
