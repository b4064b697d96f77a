import type { OperatorClient } from '../client/client.ts';
import { type ConnectionFlags, locate } from '../config/locate.ts';
import type { Io } from '../io.ts';
import type { Format } from '../render/document.ts';

/** Flags that every command that asks the server takes. */
export interface GlobalFlags extends ConnectionFlags {
  readonly verbose?: boolean | undefined;
}

export interface OutputFlag {
  readonly output: Format;
}

/** Finds the server, gives a client to the work, and closes it whatever happens. gRPC is loaded here and not before. */
export async function withClient<T>(
  flags: GlobalFlags,
  io: Io,
  work: (client: OperatorClient) => Promise<T>,
): Promise<T> {
  const connection = await locate(flags, io);
  if (flags.verbose === true) {
    io.err.write(
      `server ${connection.address.text} (from ${connection.addressFrom}), token from ${connection.tokenFrom ?? 'nowhere'}, CA from ${connection.caFrom ?? 'the system'}\n`,
    );
  }
  const { createClient } = await import('../client/client.ts');
  const client = createClient(connection);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}
