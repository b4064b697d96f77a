import { execFileSync } from 'node:child_process';
import { startProcess } from './process.ts';

/** A machine of its own as far as the network goes: a network namespace and its cable to this one. */
export interface TestNode {
  /** Where this machine is, seen from there. */
  readonly host: string;
  /** What a command line begins with that is to run there. */
  readonly enter: readonly string[];
  /** Pulls the cable: nothing passes, nobody is told. */
  cut(): void;
  mend(): void;
}

/** Whether this process may make network namespaces: it takes root, and a container that lets it. */
export function canMakeNodes(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false;
  try {
    execFileSync('unshare', ['--net', 'ip', 'link', 'add', 'one', 'type', 'veth', 'peer', 'name', 'two'], {
      stdio: 'ignore',
    });
    return true;
  } catch {
    return false;
  }
}

let made = 0;

/** The address of this machine on the cable of the next node: a server's certificate has to name it. */
export function hostsOfNodes(count: number): string[] {
  return Array.from({ length: count }, (_, i) => addressesOf(made + i).host);
}

/** Until `cleanup`. */
export async function startNode(): Promise<TestNode> {
  const { host, node } = addressesOf(made);
  made += 1;
  const outside = `ol${process.pid}n${made}`;
  const inside = `${outside}i`;
  // The namespace, and both ends of the cable, live as long as this process.
  const holder = startProcess('unshare', ['--net', 'sh', '-c', 'echo ready; exec sleep 3600']);
  while (holder.lines.length === 0 && !holder.hasExited()) await new Promise((resolve) => setTimeout(resolve, 5));
  const enter = ['nsenter', `--net=/proc/${holder.pid}/ns/net`];
  const run = ([program = '', ...args]: readonly string[]) => execFileSync(program, args);
  run(['ip', 'link', 'add', outside, 'type', 'veth', 'peer', 'name', inside]);
  run(['ip', 'link', 'set', inside, 'netns', String(holder.pid)]);
  run(['ip', 'address', 'add', `${host}/30`, 'dev', outside]);
  run(['ip', 'link', 'set', outside, 'up']);
  run([...enter, 'ip', 'address', 'add', `${node}/30`, 'dev', inside]);
  const set = (state: 'up' | 'down') => run([...enter, 'ip', 'link', 'set', inside, state]);
  run([...enter, 'ip', 'link', 'set', 'lo', 'up']);
  set('up');
  return { host, enter, cut: () => void set('down'), mend: () => void set('up') };
}

/** Of a range that is kept for tests of networks (RFC 2544); by process, so that two that test at a time do not meet. */
function addressesOf(index: number): { host: string; node: string } {
  const net = `198.18.${process.pid % 256}`;
  return { host: `${net}.${4 * index + 1}`, node: `${net}.${4 * index + 2}` };
}
