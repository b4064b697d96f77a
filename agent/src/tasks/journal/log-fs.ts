import { constants, type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The few things a log asks of the file system; tests put a failing disk here. */
export interface LogFs {
  /** Creates it (mode 0600) when it is not there. */
  open(path: string): Promise<LogFile>;
  rename(from: string, to: string): Promise<void>;
  /** No error when it is not there. */
  remove(path: string): Promise<void>;
  /** Makes a rename survive a power cut. */
  syncDirectoryOf(path: string): Promise<void>;
}

export interface LogFile {
  /** All of it, at that position. */
  write(bytes: Buffer, position: number): Promise<void>;
  truncate(length: number): Promise<void>;
  /** fdatasync */
  sync(): Promise<void>;
  close(): Promise<void>;
}

export const diskFs: LogFs = {
  async open(path) {
    return logFile(await open(path, constants.O_RDWR | constants.O_CREAT, 0o600));
  },
  rename,
  remove: (path) => rm(path, { force: true }),
  async syncDirectoryOf(path) {
    const directory = await open(dirname(path), constants.O_RDONLY);
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  },
};

export function logFile(handle: FileHandle): LogFile {
  return {
    async write(bytes, position) {
      let written = 0;
      while (written < bytes.length) {
        const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, position + written);
        written += bytesWritten;
      }
    },
    truncate: (length) => handle.truncate(length),
    sync: () => handle.datasync(),
    close: () => handle.close(),
  };
}
