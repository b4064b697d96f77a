import type { ServerWritableStream } from '@grpc/grpc-js';

/**
 * Writes what the iterable yields, no faster than the reader reads: grpc-js takes sixteen messages and would then buffer without
 * bound. Returns when the items end or the signal aborts, whatever the iterable is waiting for.
 */
export async function pump<T>(
  call: Pick<ServerWritableStream<unknown, T>, 'write' | 'once' | 'off'>,
  items: AsyncIterable<T>,
  signal: AbortSignal,
): Promise<void> {
  const iterator = items[Symbol.asyncIterator]();
  try {
    while (!signal.aborted) {
      const next = await unlessAborted(signal, iterator.next());
      if (next === undefined || next.done) return;
      if (!call.write(next.value)) await drained(call, signal);
    }
  } finally {
    // Not awaited: a generator that hangs would keep the call from ending.
    iterator.return?.()?.catch(() => undefined);
  }
}

/** Not Promise.race: each race would leave a reaction on a promise that lives as long as the stream. */
function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const onAbort = () => resolve(undefined);
    signal.addEventListener('abort', onAbort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}

/** After a cancel no `drain` ever comes. */
function drained(
  call: Pick<ServerWritableStream<unknown, unknown>, 'once' | 'off'>,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      call.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    call.once('drain', done);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}
