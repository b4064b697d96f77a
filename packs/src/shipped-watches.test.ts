import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { parseCases, runCase } from './cases/index.ts';
import type { PackMonitor, Settings } from './monitoring.ts';
import { parsePack } from './parse.ts';
import { runProbe } from './testing/run-probe.ts';

const folder = join(import.meta.dirname, '..', 'shipped');
const pack = (name: string) => parsePack(readFileSync(join(folder, `${name}.yaml`)), `${name}.yaml`);
const linux = pack('linux');

describe('the shipped packs', () => {
  for (const name of ['utility', 'linux']) {
    const shipped = pack(name);
    const file = `${name}.test.yaml`;
    const results = parseCases(readFileSync(join(folder, file)), file, shipped).map((each) => runCase(shipped, each));

    it.each(results.map(({ title, failures }) => [title, failures] as const))(`${name}: %s`, (_title, failures) => {
      expect(failures).toEqual([]);
    });

    it(`test every rule and monitor of ${name}`, () => {
      const touched = new Set(results.flatMap((result) => [...result.touched]));
      const names = [...shipped.rules.keys(), ...shipped.monitors.keys()];
      expect(names.filter((watch) => !touched.has(watch))).toEqual([]);
    });

    it(`say of every rule and monitor of ${name} what it is`, () => {
      for (const watch of [...shipped.rules.values(), ...shipped.monitors.values()]) {
        expect(watch.title, watch.name).not.toBe('');
        if (!watch.name.startsWith('test-event-')) expect(watch.description, watch.name).not.toBe('');
      }
    });
  }

  it('have tests for every pack', () => {
    const files = readdirSync(folder).filter((file) => file.endsWith('.yaml'));
    const packs = files.filter((file) => !file.endsWith('.test.yaml'));
    expect(files.filter((file) => file.endsWith('.test.yaml'))).toEqual(
      packs.map((file) => file.replace('.yaml', '.test.yaml')),
    );
  });
});

function monitor(name: string): PackMonitor {
  const found = linux.monitors.get(name);
  if (found === undefined) throw new Error(`no monitor linux/${name}`);
  return found;
}

const withProcess = [...linux.monitors.values()].filter(
  ({ input }) => input.kind === 'probe' && input.probe.kind === 'run',
);

describe.runIf(process.platform === 'linux')('a probe of the linux pack', () => {
  it.each(withProcess.map((each) => [each.name, each] as const))('%s works on this machine', async (_name, each) => {
    expect(await runProbe(each)).toEqual({ ok: true, sample: expect.anything() });
  });

  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'openline-probes-'));
    return () => rmSync(root, { recursive: true, force: true });
  });

  function file(path: string, text: string): string {
    const full = join(root, path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, text);
    return full;
  }

  function program(name: string, script: string): void {
    chmodSync(file(join('bin', name), `#!/bin/sh\n${script}\n`), 0o755);
  }

  /** With the programs of this test before those of the machine. */
  async function sample(
    name: string,
    settings: Settings = {},
    host: Readonly<Record<string, string>> = {},
  ): Promise<unknown> {
    const env = {
      OPENLINE_HOST_PROC: join(root, 'proc'),
      PATH: `${join(root, 'bin')}:${process.env['PATH']}`,
      ...host,
    };
    const result = await runProbe(monitor(name), settings, env);
    return result.ok ? result.sample : result.error;
  }

  const meminfo = (more = '') => `MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 50 kB\nCached: 150 kB\n${more}`;

  it('sees each local, writable file system once, and nothing else', async () => {
    const places = {
      data: join(root, 'data'),
      spaced: join(root, 'with "quotes" and space'),
      boot: join(root, 'boot'),
    };
    for (const place of [...Object.values(places), join(places.data, 'bind')]) mkdirSync(place);
    const escaped = (path: string) => path.replaceAll(' ', '\\040');
    file(
      'proc/mounts',
      `proc /proc proc rw 0 0
overlay / overlay rw,lowerdir=/x 0 0
tmpfs ${places.data} tmpfs rw 0 0
/dev/loop1 ${places.boot} squashfs ro 0 0
/dev/sda1 ${places.data}/bind ext4 rw,relatime 0 0
/dev/sda1 ${file('f', 'x')} ext4 rw 0 0
/dev/sda1 ${places.data} ext4 rw,relatime 0 0
/dev/sdd1 ${file('g', 'x')} ext4 rw 0 0
/dev/sdb1 ${escaped(places.spaced)} xfs rw 0 0
/dev/sdc1 ${places.boot} ext4 ro,relatime 0 0
server:/x ${places.boot} nfs4 rw 0 0
`,
    );
    program(
      'df',
      `case "$2" in
-k) printf 'Filesystem 1024-blocks Used Available Capacity Mounted on\\n/dev/a b 1000 600 300 67%% %s\\n' "$3" ;;
-i) printf 'Filesystem Inodes IUsed IFree IUse%% Mounted on\\n/dev/a b 0 0 0 - %s\\n' "$3" ;;
esac`,
    );
    const figures = {
      size_bytes: 1_024_000,
      used_bytes: 614_400,
      free_bytes: 307_200,
      used_percent: 66.7,
      inodes_used_percent: 0,
    };
    const found = await sample('disk-space');
    expect(found).toHaveLength(2);
    expect(found).toEqual(
      expect.arrayContaining([
        { mount: places.data, ...figures },
        { mount: places.spaced, ...figures },
      ]),
    );
  });

  it('sees the file systems of a host below its root, by the names that the host has for them', async () => {
    mkdirSync(join(root, 'srv'));
    file('proc/mounts', 'overlay / overlay rw 0 0\n');
    file('proc/1/mounts', '/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /srv ext4 ro 0 0\n/dev/sdc1 /srv xfs rw 0 0\n');
    file('etc/fstab', '/dev/sdb1 /srv ext4 defaults 0 2\n');
    const host = { OPENLINE_HOST_ROOT: root };
    expect(await sample('disk-space', {}, host)).toMatchObject([{ mount: '/' }, { mount: '/srv' }]);
    expect(await sample('read-only-file-system', {}, host)).toMatchObject({ mount: '/srv', read_only: false });
  });

  it('finds no file system in a container that has none of its own, and goes on when one cannot be asked', async () => {
    file('proc/mounts', 'overlay / overlay rw 0 0\n');
    expect(await sample('disk-space')).toEqual([]);
    file('proc/mounts', `/dev/sda1 ${root} ext4 rw 0 0\n`);
    program('df', 'echo "df: stale handle" >&2; exit 1');
    expect(await sample('inode-use')).toEqual([]);
  });

  it('tells a file system that became read-only from one that was made so', async () => {
    const fstab = file(
      'fstab',
      `# comment
UUID=1 / ext4 errors=remount-ro 0 1
UUID=2 /srv/a\\040b xfs defaults 0 2
UUID=3 /iso ext4 ro 0 0
UUID=4 /backup ext4 noauto 0 0
`,
    );
    file(
      'proc/mounts',
      `/dev/sda1 / ext4 rw,errors=remount-ro 0 0
/dev/sdb1 /srv/a\\040b xfs ro,relatime 0 0
/dev/sdc1 /iso ext4 ro 0 0
/dev/sdd1 /backup ext4 ro 0 0
/dev/sde1 /not/in/fstab ext4 ro 0 0
`,
    );
    const expected = [
      { mount: '/', device: '/dev/sda1', read_only: false },
      { mount: '/srv/a b', device: '/dev/sdb1', read_only: true },
    ];
    const found = await sample('read-only-file-system', { fstab });
    expect(found).toHaveLength(2);
    expect(found).toEqual(expect.arrayContaining(expected));
    expect(await sample('read-only-file-system', { fstab: join(root, 'none') })).toEqual([]);
  });

  it('reads memory with and without what newer kernels tell', async () => {
    file('proc/meminfo', meminfo());
    expect(await sample('memory-pressure')).toMatchObject({
      available_percent: 30,
      stalled_percent: 0,
      swap_used_percent: 0,
    });
    file('proc/meminfo', meminfo('MemAvailable: 70 kB\nSwapTotal: 400 kB\nSwapFree: 100 kB\n'));
    file(
      'proc/pressure/memory',
      'some avg10=9.00 avg60=33.25 avg300=1.00 total=5\nfull avg10=1.00 avg60=12.50 avg300=0.00 total=5\n',
    );
    expect(await sample('swap')).toEqual({
      total_bytes: 1_024_000,
      available_bytes: 71_680,
      available_percent: 7,
      stalled_percent: 33.25,
      all_stalled_percent: 12.5,
      swap_bytes: 409_600,
      swap_used_bytes: 307_200,
      swap_used_percent: 75,
    });
    rmSync(join(root, 'proc'), { recursive: true });
    expect(await sample('memory-pressure')).toMatch(/^it ended with code/);
  });

  it('sets the load against the processors', async () => {
    file('proc/loadavg', '1.50 2.25 3.75 2/300 12345\n');
    file('proc/cpuinfo', 'processor\t: 0\nmodel name\t: x\nprocessor\t: 1\n');
    expect(await sample('load')).toEqual({ one: 1.5, five: 2.25, fifteen: 3.75, cpus: 2 });
    file('proc/cpuinfo', 'no such lines\n');
    expect(await sample('load')).toMatchObject({ cpus: 1 });
  });

  it('lists failed units, without those to ignore, and says which may be restarted', async () => {
    program(
      'systemctl',
      `case $1 in
is-system-running) echo degraded; exit 1 ;;
list-units) printf '%s\\n' 'nginx.service loaded failed failed A web server' 'a\\x2db.mount loaded failed failed /a-b' 'cron.service loaded failed failed Cron' ;;
esac`,
    );
    expect(await sample('failed-units', { ignore: 'cron.service other', restart: 'nginx.service' })).toEqual([
      { unit: 'nginx.service', failed: true, restart: true },
      { unit: 'a\\x2db.mount', failed: true, restart: false },
    ]);
    expect(await sample('failed-units', { ignore: '*' })).toEqual([]);
    program('systemctl', 'echo offline; exit 1');
    expect(await sample('failed-units')).toEqual([]);
  });

  it('asks chrony about the clock, then systemd, and knows nothing where neither keeps it', async () => {
    const chrony = (leap: string) =>
      program(
        'chronyc',
        `echo 'A9FEA97B,169.254.169.123,4,1767225600.1,-0.000123456,0.1,0.2,-1.0,0.0,0.1,0.0004,0.0002,16.1,${leap}'`,
      );
    chrony('Normal');
    expect(await sample('clock-drift')).toEqual({ known: true, synchronised: true, offset_seconds: -0.000123456 });
    chrony('Not synchronised');
    expect(await sample('clock-drift')).toMatchObject({ known: true, synchronised: false });
    program('chronyc', 'echo "506 Cannot talk to daemon"; exit 1');
    const answers = [];
    for (const state of [
      'NTP=yes\\nNTPSynchronized=yes',
      'NTP=yes\\nNTPSynchronized=no',
      'NTP=no\\nNTPSynchronized=no',
      '',
    ]) {
      program('timedatectl', `printf '${state}\\n'`);
      answers.push(await sample('clock-drift'));
    }
    expect(answers).toEqual([
      { known: true, synchronised: true, offset_seconds: 0 },
      { known: true, synchronised: false, offset_seconds: 0 },
      { known: false, synchronised: false, offset_seconds: 0 },
      { known: false, synchronised: false, offset_seconds: 0 },
    ]);
  });

  it('counts processes by what the kernel calls them or by what they were started as', async () => {
    file('proc/1/comm', 'nginx\n');
    file('proc/1/cmdline', 'nginx: master process /usr/sbin/nginx\0');
    file('proc/2/comm', 'MainThread\n');
    file('proc/2/cmdline', '/usr/bin/node\0server.js\0');
    file('proc/3/comm', 'a-rather-long-n\n');
    file('proc/3/cmdline', 'a-rather-long-name\0');
    file('proc/4/comm', 'kworker/0:1\n');
    file('proc/4/cmdline', '');
    const processes = 'nginx node a-rather-long-name server.js kworker/0:1 $(reboot) *';
    expect(await sample('process-missing', { processes })).toEqual([
      { name: 'nginx', count: 1 },
      { name: 'node', count: 1 },
      { name: 'a-rather-long-name', count: 1 },
      { name: 'server.js', count: 0 },
      { name: 'kworker/0:1', count: 1 },
      { name: '$(reboot)', count: 0 },
      { name: '*', count: 0 },
    ]);
  });
});
