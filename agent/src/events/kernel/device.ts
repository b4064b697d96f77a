import { closeSync, constants, openSync, readSync } from 'node:fs';
import { isErrno } from '../read/errno.ts';
import { SourceFault } from '../read/loop.ts';

/** The kernel's log, opened. */
export interface KernelDevice {
  /** One record. `none`: no more at present. `overwritten`: those that came next are not there any more; the next call goes on behind them. */
  read(): string | 'none' | 'overwritten';
  close(): void;
}

/** The kernel makes no longer ones. */
const MAX_RECORD_BYTES = 16 * 1024;
/** Permissions are not given every minute. */
const RETRY_MS = 60_000;

/** From the oldest record that is there. @throws SourceFault */
export function openKernelDevice(path = '/dev/kmsg'): KernelDevice {
  const buffer = Buffer.allocUnsafe(MAX_RECORD_BYTES);
  const fd = asFault(path, () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  return {
    read() {
      try {
        const bytes = asFault(path, () => readSync(fd, buffer, 0, MAX_RECORD_BYTES, null));
        return bytes === 0 ? 'none' : buffer.toString('utf8', 0, bytes);
      } catch (error) {
        if (isErrno(error, 'EAGAIN')) return 'none';
        if (isErrno(error, 'EPIPE')) return 'overwritten';
        throw error;
      }
    },
    close: () => closeSync(fd),
  };
}

function asFault<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    const options = { cause, retryMs: RETRY_MS };
    if (isErrno(cause, 'EPERM', 'EACCES'))
      throw new SourceFault(
        `${path}: the kernel’s log may not be read; run the agent as root, or give it CAP_SYSLOG`,
        options,
      );
    if (isErrno(cause, 'ENOENT', 'ENXIO'))
      throw new SourceFault(`${path}: there is no kernel log here; in a container, mount it from the host`, options);
    throw cause;
  }
}

/** Whether it is there, and may be read. */
export function isKernelLogReadable(path = '/dev/kmsg'): boolean {
  if (process.platform !== 'linux') return false;
  try {
    const device = openKernelDevice(path);
    try {
      device.read();
      return true;
    } finally {
      device.close();
    }
  } catch {
    return false;
  }
}
