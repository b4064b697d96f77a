import { fork } from 'node:child_process';
import type { Pack } from '@openline/packs';
import { type ErrorCode, isErrorCode, OpenlineError } from '@openline/proto/errors';

/** YAML that was verified → a pack. @throws OpenlineError PACK_INVALID; PACK_READER_FAILED when it is not the pack’s fault */
export type ReadPack = (content: Buffer, fileName: string) => Promise<Pack>;

export const readPackHere: ReadPack = async (content, fileName) => {
  const { parsePack } = await import('@openline/packs');
  return parsePack(content, fileName);
};

/** The first argument of an agent process that only reads a pack. */
export const READ_PACK = '--read-pack';

/** Bounds a parser that runs away. Not a measure: a node that starts many pods at once was seen to take more than half a minute. */
const TIMEOUT_MS = 180_000;
const HEAP_MIB = 256;

interface Request {
  readonly content: Uint8Array;
  readonly fileName: string;
}
type Reply = { readonly pack: Pack } | { readonly code: string; readonly message: string };

/**
 * Reads packs in a process of its own that ends afterwards: the parser, its YAML and its schemas would otherwise stay in the memory of
 * an agent that needs them once, and a pack that makes the parser run away takes nothing with it.
 * @param program the script of this process, and the arguments that make it an agent
 */
export function readPackInChild(program: readonly [script: string, ...args: string[]]): ReadPack {
  const [script, ...args] = program;
  return (content, fileName) =>
    new Promise((resolve, reject) => {
      const child = fork(script, [...args, READ_PACK], {
        execArgv: [...process.execArgv, `--max-old-space-size=${HEAP_MIB}`],
        serialization: 'advanced',
        stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
        timeout: TIMEOUT_MS,
        killSignal: 'SIGKILL',
      });
      const fail = (why: string, code: ErrorCode = 'PACK_READER_FAILED') =>
        reject(new OpenlineError(code, `${fileName}: could not be read: ${why}`));
      // No process (EAGAIN), no pipe to it (EMFILE), no memory.
      child.once('error', (error) => fail(error.message));
      // `message` comes before `exit`; after a reply this rejection is of no effect.
      child.once('exit', (code, signal) => {
        // Ran away: into the timeout, or into the limit of its heap. Other ends are not the pack's doing.
        if (child.killed) fail(`it took more than ${TIMEOUT_MS / 1000} s`, 'PACK_INVALID');
        else if (signal === 'SIGABRT') fail(`it took more than ${HEAP_MIB} MiB`, 'PACK_INVALID');
        else fail(`the reader ended with ${signal ?? code}`);
      });
      child.once('message', (reply: unknown) => {
        if (isPack(reply)) return resolve(reply.pack);
        if (isFailure(reply)) {
          return reject(new OpenlineError(isErrorCode(reply.code) ? reply.code : 'INTERNAL', reply.message));
        }
        return fail('the reader gave no answer');
      });
      child.send({ content, fileName } satisfies Request);
    });
}

/** The other side: reads one pack, answers, and ends. */
export async function readPackForParent(): Promise<void> {
  const request = await new Promise<unknown>((resolve) => process.once('message', resolve));
  const reply = await answer(request);
  await new Promise<void>((sent) => process.send?.(reply, undefined, undefined, () => sent()));
  process.disconnect();
}

async function answer(request: unknown): Promise<Reply> {
  try {
    if (!isRequest(request)) throw new OpenlineError('INTERNAL', 'not a request to read a pack');
    return { pack: await readPackHere(Buffer.from(request.content), request.fileName) };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof OpenlineError) return { code: error.code, message };
    // What the system refused, such as the file of the parser itself (EMFILE), is not the pack's fault.
    return { code: error instanceof Error && 'syscall' in error ? 'PACK_READER_FAILED' : 'PACK_INVALID', message };
  }
}

function isRequest(raw: unknown): raw is Request {
  return typeof raw === 'object' && raw !== null && 'content' in raw && 'fileName' in raw;
}

function isPack(raw: unknown): raw is { pack: Pack } {
  return typeof raw === 'object' && raw !== null && 'pack' in raw;
}

function isFailure(raw: unknown): raw is { code: string; message: string } {
  return typeof raw === 'object' && raw !== null && 'code' in raw && 'message' in raw;
}
