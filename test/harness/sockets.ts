import { readdir, readFile, readlink } from 'node:fs/promises';

export interface Socket {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** As `ss` calls it: ESTAB, LISTEN, SYN-SENT, … */
  readonly state: string;
}

/** include/net/tcp_states.h */
const STATES: Readonly<Record<string, string>> = {
  '01': 'ESTAB',
  '02': 'SYN-SENT',
  '03': 'SYN-RECV',
  '04': 'FIN-WAIT-1',
  '05': 'FIN-WAIT-2',
  '06': 'TIME-WAIT',
  '07': 'UNCONN',
  '08': 'CLOSE-WAIT',
  '09': 'LAST-ACK',
  '0A': 'LISTEN',
  '0B': 'CLOSING',
};

/** The TCP sockets that a process holds, from the kernel's own table: what `ss -tnp` shows. */
export async function socketTable(pid: number): Promise<Socket[]> {
  const inodes = await socketInodes(pid);
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/${pid}/net/${name}`, 'utf8')));
  return tables.flatMap((table) =>
    parseTcpTable(table)
      .filter(({ inode }) => inodes.has(inode))
      .map(({ socket }) => socket),
  );
}

/** The connections of a process to a port, that are open: an agent has exactly one to its server. */
export async function connectionsTo(pid: number, remotePort: number): Promise<Socket[]> {
  return (await socketTable(pid)).filter((socket) => socket.remotePort === remotePort && socket.state === 'ESTAB');
}

async function socketInodes(pid: number): Promise<Set<string>> {
  const inodes = new Set<string>();
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    const link = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
    const inode = /^socket:\[(\d+)\]$/.exec(link)?.[1];
    if (inode !== undefined) inodes.add(inode);
  }
  return inodes;
}

/** proc_pid_net(5): sl, local, remote, state, queues, timer, retransmits, uid, timeout, inode, … */
export function parseTcpTable(text: string): { inode: string; socket: Socket }[] {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local, remote, state, , , , , , inode] = line.trim().split(/\s+/);
      if (local === undefined || remote === undefined || state === undefined || inode === undefined) return [];
      const [localAddress, localPort] = endpoint(local);
      const [remoteAddress, remotePort] = endpoint(remote);
      return [{ inode, socket: { localAddress, localPort, remoteAddress, remotePort, state: STATES[state] ?? state } }];
    });
}

/** "0100007F:165B" → 127.0.0.1, 5723: 32-bit words in the machine's byte order (little-endian), the port in network order. */
function endpoint(text: string): [address: string, port: number] {
  const [address = '', port = ''] = text.split(':');
  const bytes = (address.match(/.{8}/g) ?? []).flatMap((word) => [...Buffer.from(word, 'hex')].reverse());
  return [addressText(bytes), Number.parseInt(port, 16)];
}

function addressText(bytes: readonly number[]): string {
  if (bytes.length === 4) return bytes.join('.');
  const isMapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255;
  if (isMapped) return bytes.slice(12).join('.');
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1); // URLs carry the canonical form
}
