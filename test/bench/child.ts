import { type ChildProcess, fork } from 'node:child_process';

type Failure = { readonly failure: string };

/** A process of the benchmark, asked one thing at a time over IPC. */
export interface Child<Order, Answer> extends AsyncDisposable {
  readonly pid: number;
  /** @throws Error when the process ends, or fails at it */
  ask(order: Order): Promise<Answer>;
}

/** @param module absolute path of a file that calls `obeyParent` */
export function startChild<Order extends object, Answer>(module: string): Child<Order, Answer> {
  const child = fork(module, { serialization: 'advanced', stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  if (child.pid === undefined) throw new Error(`cannot start ${module}`);
  child.on('error', () => {}); // whoever asks hears of it
  return {
    pid: child.pid,
    async ask(order) {
      if (child.exitCode !== null) throw new Error(`a benchmark process has ended with code ${child.exitCode}`);
      child.send(order);
      return answerOf<Answer>(child);
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
    },
  };
}

function answerOf<Answer>(child: ChildProcess): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`a benchmark process ended with code ${code}`));
    child.once('exit', ended);
    child.once('message', (answer: Answer | Failure) => {
      child.removeListener('exit', ended);
      if (typeof answer === 'object' && answer !== null && 'failure' in answer) reject(new Error(answer.failure));
      else resolve(answer);
    });
  });
}

/** The other side: answers each order, one after the other, until the parent has gone. */
export function obeyParent<Order, Answer>(obey: (order: Order) => Promise<Answer>): void {
  process.on('message', async (order: Order) => {
    try {
      process.send?.(await obey(order));
    } catch (error) {
      process.send?.({
        failure: error instanceof Error ? (error.stack ?? error.message) : String(error),
      } satisfies Failure);
    }
  });
  process.on('disconnect', () => process.exit(0));
}
