import { createServer, type Server } from 'node:net';
import { OpenlineError } from '@openline/proto/errors';
import { formatHostPort, type HostPort } from '@openline/proto/host-port';

/**
 * Listens on each address for a moment: a second server that is started by mistake must hear of it before it migrates the database of the first.
 * @param listens by key of the configuration
 * @throws OpenlineError PORT_IN_USE, CONFIG_INVALID the address is none of this machine, or not for this user
 */
export async function probePorts(listens: Readonly<Record<string, HostPort>>): Promise<void> {
  const probes: Server[] = [];
  try {
    for (const [key, listen] of Object.entries(listens)) probes.push(await listening(key, listen));
  } finally {
    await Promise.all(probes.map((probe) => new Promise((resolve) => probe.close(resolve))));
  }
}

function listening(key: string, { host, port }: HostPort): Promise<Server> {
  const probe = createServer((socket) => socket.destroy());
  return new Promise((resolve, reject) => {
    probe.once('error', (cause: NodeJS.ErrnoException) => {
      const where = formatHostPort({ host, port });
      reject(
        cause.code === 'EADDRINUSE'
          ? new OpenlineError('PORT_IN_USE', `another program listens on ${where} (${key})`, { cause })
          : new OpenlineError('CONFIG_INVALID', `${key}: cannot listen on ${where} (${cause.code})`, { cause }),
      );
    });
    probe.listen(port, host, () => resolve(probe));
  });
}
