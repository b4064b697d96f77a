import { createHash } from 'node:crypto';
import { accessSync, constants, lstatSync, readFileSync, statSync } from 'node:fs';
import { arch, cpus, hostname, platform, release, totalmem } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Interpreter } from '@openline/packs';
import { MAX_FACTS, MAX_LABEL_CHARS } from '@openline/proto/limits';
import type { View } from './host/view.ts';
import { VERSION } from './version.ts';

/** Names of a program, the first found counts. */
const INTERPRETERS: Readonly<Record<Interpreter, readonly string[]>> = {
  sh: ['sh'],
  bash: ['bash'],
  python3: ['python3', 'python'],
  node: ['node'],
  pwsh: ['pwsh', 'powershell'],
};

/** Absolute paths of the interpreters where tasks run. @param path as in $PATH @param root of another file system than ours, whose paths are meant */
export function findInterpreters(path: string, root = ''): Partial<Record<Interpreter, string>> {
  const found: Partial<Record<Interpreter, string>> = {};
  const name = (text: string): text is Interpreter => Object.hasOwn(INTERPRETERS, text);
  for (const interpreter of Object.keys(INTERPRETERS).filter(name)) {
    const programs = platform() === 'win32' ? INTERPRETERS[interpreter] : [interpreter];
    const file = programs.map((program) => which(program, path, root)).find((hit) => hit !== undefined);
    if (file) found[interpreter] = file;
  }
  return found;
}

/**
 * Where a program is that is named without a folder.
 * @param root of the place that is looked at; '': this one
 */
export function which(program: string, path: string, root: string): string | undefined {
  const suffixes = platform() === 'win32' ? ['.exe', '.cmd'] : [''];
  for (const directory of path.split(delimiter)) {
    // A relative directory would mean something else in each working directory.
    if (!directory.startsWith('/') && platform() !== 'win32') continue;
    for (const suffix of suffixes) {
      const file = join(directory, `${program}${suffix}`);
      try {
        // Where an absolute link of another root leads cannot be seen from here.
        if (root !== '' && lstatSync(`${root}${file}`).isSymbolicLink()) return file;
        accessSync(`${root}${file}`, constants.X_OK);
        if (statSync(`${root}${file}`).isFile()) return file;
      } catch {
        // Not there.
      }
    }
  }
  return undefined;
}

/** What this machine is, as tasks see it, read at the start. Everything is cheap: no process is started for it. */
export function gatherFacts(
  interpreters: Partial<Record<Interpreter, string>>,
  { name: view, root }: Pick<View, 'name' | 'root'>,
): Record<string, string> {
  const osRelease = readOsRelease(root);
  const facts: Record<string, string | undefined> = {
    os: platform() === 'win32' ? 'windows' : platform(),
    arch: arch() === 'x64' ? 'amd64' : arch(),
    kernel: release(),
    hostname: root === '' ? hostname() : (read(`${root}/etc/hostname`) ?? hostname()),
    view,
    'os.distribution': osRelease.get('ID'),
    'os.version': osRelease.get('VERSION_ID'),
    'os.name': osRelease.get('PRETTY_NAME'),
    'cpu.count': String(cpus().length),
    'memory.bytes': String(totalmem()),
    'agent.version': VERSION,
    'runtime.version': process.version,
    virtualization: virtualization(),
    user: process.getuid?.() === 0 ? 'root' : String(process.getuid?.() ?? ''),
  };
  for (const [name, file] of Object.entries(interpreters)) facts[`interpreter.${name}`] = file;
  return bounded(facts);
}

/**
 * A hash of what identifies the machine: two agents with one identity on two machines differ in it. The raw machine id is meant to be
 * confidential (machine-id(5)), so that it never leaves.
 */
export function machineId(dataDir: string): string {
  const id = read('/etc/machine-id') ?? read('/var/lib/dbus/machine-id') ?? '';
  // A copied image may carry the machine id along; its host name and its data directory usually differ.
  return createHash('sha256')
    .update(JSON.stringify(['openline', id, hostname(), dataDir]))
    .digest('hex')
    .slice(0, 32);
}

/** As in the file, and as short as the protocol wants it. */
export function bounded(facts: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const entries = Object.entries(facts).flatMap(([key, value]) =>
    value ? [[key.slice(0, MAX_LABEL_CHARS), value.slice(0, MAX_LABEL_CHARS).toWellFormed()]] : [],
  );
  return Object.fromEntries(entries.slice(0, MAX_FACTS));
}

function readOsRelease(root: string): Map<string, string> {
  const text = read(`${root}/etc/os-release`) ?? read(`${root}/usr/lib/os-release`) ?? '';
  const lines = text.split('\n').flatMap((line) => {
    const [, key, value] = /^([A-Z_]+)=(.*)$/.exec(line) ?? [];
    return key && value ? [[key, value.replace(/^(["'])(.*)\1$/, '$2')] as const] : [];
  });
  return new Map(lines);
}

/** Whether a container is all that this process has of the machine. */
export function isInContainer(): boolean {
  if (process.env['KUBERNETES_SERVICE_HOST']) return true;
  return read('/.dockerenv') !== undefined || read('/run/.containerenv') !== undefined;
}

/** Hints that cost one small file each. */
function virtualization(): string | undefined {
  if (process.env['KUBERNETES_SERVICE_HOST']) return 'kubernetes';
  if (isInContainer()) return 'container';
  const product = `${read('/sys/class/dmi/id/sys_vendor') ?? ''} ${read('/sys/class/dmi/id/product_name') ?? ''}`;
  const known = ['KVM', 'QEMU', 'VMware', 'VirtualBox', 'Xen', 'Amazon EC2', 'Google', 'Hyper-V', 'Virtual Machine'];
  return known.find((vendor) => product.includes(vendor))?.toLowerCase();
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}
