import { constants, mkdir, open, readdir } from 'node:fs/promises';
import { diskFs, type LogFile, type LogFs, logFile } from '../tasks/journal/log-fs.ts';

/** What the spool asks of the file system beyond what a journal does; tests put a failing disk here. */
export interface SpoolFs extends Omit<LogFs, 'open'> {
  open(path: string): Promise<SpoolFile>;
  /** Makes the directory (mode 0700) when it is not there. @returns the names in it */
  list(directory: string): Promise<string[]>;
}

export interface SpoolFile extends LogFile {
  /** Fewer bytes than asked for: the file ends there. */
  read(length: number, position: number): Promise<Buffer>;
  size(): Promise<number>;
}

export const diskSpoolFs: SpoolFs = {
  rename: diskFs.rename,
  remove: diskFs.remove,
  syncDirectoryOf: diskFs.syncDirectoryOf,
  async list(directory) {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return readdir(directory);
  },
  async open(path) {
    const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    return {
      ...logFile(handle),
      async read(length, position) {
        const bytes = Buffer.allocUnsafe(length);
        let have = 0;
        while (have < length) {
          const { bytesRead } = await handle.read(bytes, have, length - have, position + have);
          if (bytesRead === 0) break;
          have += bytesRead;
        }
        return bytes.subarray(0, have);
      },
      size: async () => (await handle.stat()).size,
    };
  },
};
