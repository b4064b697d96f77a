import { createConnection, createServer, type Socket } from 'node:net';

/** The network between an agent and its server, in the hands of a test. */
export interface Network {
  /** Where the agent is told that its server is. */
  readonly port: number;
  /** Open connections through it. */
  connections(): number;
  /** Connections there have ever been. */
  accepted(): number;
  /** Nothing passes and nothing closes: a frozen peer, a firewall that drops. New connections are accepted and stay silent. */
  freeze(): void;
  thaw(): void;
  /** One direction is swallowed for the connections that are open now: a half-open link. They cannot be mended. `up`: agent → server. */
  swallow(direction: 'up' | 'down'): void;
  /** RST both ends of every connection. */
  cut(): void;
  /** New connections are reset at once, until false. */
  refuse(refusing: boolean): void;
  /** Holds every chunk this long, each way, milliseconds. */
  delay(ms: number): void;
  close(): Promise<void>;
}

interface Pipe {
  readonly from: Socket;
  readonly to: Socket;
  swallowing: boolean;
}

interface Line {
  readonly agent: Socket;
  readonly server: Socket;
  readonly up: Pipe;
  readonly down: Pipe;
}

/** @param targetPort of the server, on 127.0.0.1 */
export async function startNetwork(targetPort: number): Promise<Network> {
  const lines = new Set<Line>();
  let accepted = 0;
  let frozen = false;
  let refusing = false;
  let delayMs = 0;

  const listener = createServer({ pauseOnConnect: true }, (agent) => {
    accepted++;
    agent.on('error', ignore);
    if (refusing) {
      agent.resetAndDestroy();
      return;
    }
    const server = createConnection({ host: '127.0.0.1', port: targetPort });
    const up: Pipe = { from: agent, to: server, swallowing: false };
    const down: Pipe = { from: server, to: agent, swallowing: false };
    const line: Line = { agent, server, up, down };
    lines.add(line);
    connectPipe(up, line);
    connectPipe(down, line);
    if (frozen) pause(line);
    else agent.resume();
  });

  function connectPipe(pipe: Pipe, line: Line): void {
    const { from, to } = pipe;
    from.setNoDelay(true);
    from.on('data', (chunk) => {
      if (pipe.swallowing) return;
      if (delayMs === 0) forward(pipe, chunk);
      else setTimeout(() => forward(pipe, chunk), delayMs); // equal delays keep the order
    });
    to.on('drain', () => {
      if (!frozen) from.resume();
    });
    from.on('end', () => {
      if (!pipe.swallowing) to.end();
    });
    from.on('error', ignore);
    from.on('close', () => {
      // In a frozen or half-open network the other end does not learn that this one has gone.
      if (frozen || pipe.swallowing) return;
      to.destroy();
      lines.delete(line);
    });
  }

  function forward({ from, to }: Pipe, chunk: Buffer): void {
    if (!to.destroyed && !to.write(chunk)) from.pause();
  }

  function pause(line: Line): void {
    line.agent.pause();
    line.server.pause();
  }

  function cut(): void {
    for (const { agent, server } of lines) {
      agent.resetAndDestroy();
      server.resetAndDestroy();
    }
    lines.clear();
  }

  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('the network has no port');

  return {
    port: address.port,
    connections: () => lines.size,
    accepted: () => accepted,
    freeze() {
      frozen = true;
      for (const line of lines) pause(line);
    },
    thaw() {
      frozen = false;
      for (const line of lines) {
        const gone = line.agent.destroyed || line.server.destroyed;
        for (const socket of [line.agent, line.server]) gone ? socket.destroy() : socket.resume();
        if (gone) lines.delete(line);
      }
    },
    swallow(direction) {
      for (const line of lines) line[direction].swallowing = true;
    },
    cut,
    refuse(value) {
      refusing = value;
    },
    delay(ms) {
      delayMs = ms;
    },
    async close() {
      cut();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

function ignore(): void {}
