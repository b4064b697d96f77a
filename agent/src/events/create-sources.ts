import { existsSync } from 'node:fs';
import { uptime } from 'node:os';
import type { View } from '../host/view.ts';
import { bootId } from '../tasks/process/groups.ts';
import { createAgentLogSource } from './agent-log/source.ts';
import type { EventsConfig, FileLog, LogName } from './config.ts';
import { createFileSource } from './files/source.ts';
import { toEventOf } from './formats/format.ts';
import { isJournalHere, journalCommand } from './journal/journalctl.ts';
import { createJournalSource } from './journal/source.ts';
import { isKernelLogReadable, openKernelDevice } from './kernel/device.ts';
import { createKernelSource } from './kernel/source.ts';
import { hasServiceAccount } from './kubernetes/api.ts';
import { createKubernetesSource } from './kubernetes/source.ts';
import type { LoopDeps } from './read/loop.ts';
import type { EventSource } from './source.ts';
import { createWindowsSource } from './windows/source.ts';

/** Of Debian and of Red Hat. What the kernel says is in the first of each, so kern.log would be the same once more. */
const SYSLOG_FILES = ['/var/log/syslog', '/var/log/messages', '/var/log/auth.log', '/var/log/secure'];

/** What there is on this machine. */
export interface Here {
  readonly journal: boolean;
  readonly syslog: boolean;
  readonly kernel: boolean;
  readonly kubernetes: boolean;
  readonly windows: boolean;
}

/** The logs that this agent reads, as configured and as they are there. None of them is started. */
export function createSources(config: EventsConfig, view: View, deps: LoopDeps): readonly EventSource[] {
  const chosen = chooseLogs(config.sources, () => whatIsHere(config, view));
  const withoutKernel = chosen.has('kernel');
  const sources: EventSource[] = [createAgentLogSource(deps, config)];
  if (chosen.has('journal')) sources.push(createJournalSource(deps, { command: journalCommand(view), withoutKernel }));
  if (chosen.has('syslog')) sources.push(createSyslogSource(deps, withoutKernel, syslogFiles(view)));
  if (chosen.has('kernel')) {
    const bootUnixMs = () => deps.clock.unixMs() - uptime() * 1_000;
    sources.push(createKernelSource({ ...deps, open: openKernelDevice, bootId, bootUnixMs }));
  }
  const { kubernetesApi, nodeName } = config;
  if (chosen.has('kubernetes') && kubernetesApi !== undefined)
    sources.push(createKubernetesSource(deps, { ...kubernetesApi, nodeName }));
  if (chosen.has('windows')) sources.push(createWindowsSource(deps));
  return [...sources, ...config.files.map((file) => createLogFiles(deps, view, file))];
}

/** Pure. `auto` and names go together. */
export function chooseLogs(named: readonly LogName[], here: () => Here): ReadonlySet<Exclude<LogName, 'auto'>> {
  const chosen = new Set(named.filter((name) => name !== 'auto'));
  if (named.includes('auto')) {
    const { journal, syslog, kernel, kubernetes, windows } = here();
    if (journal) chosen.add('journal');
    // The same messages, where there are both.
    else if (syslog && !chosen.has('journal')) chosen.add('syslog');
    if (kernel) chosen.add('kernel');
    if (kubernetes) chosen.add('kubernetes');
    if (windows) chosen.add('windows');
  }
  return chosen.add('agent');
}

function whatIsHere({ kubernetesApi }: EventsConfig, view: View): Here {
  return {
    journal: isJournalHere(view),
    syslog: syslogFiles(view).some((file) => existsSync(file)),
    kernel: isKernelLogReadable(),
    kubernetes: kubernetesApi !== undefined && hasServiceAccount(),
    windows: process.platform === 'win32',
  };
}

function syslogFiles({ root }: View): string[] {
  return SYSLOG_FILES.map((file) => `${root}${file}`);
}

export function createSyslogSource(deps: LoopDeps, withoutKernel: boolean, patterns: readonly string[]): EventSource {
  return createFileSource(deps, {
    log: 'syslog',
    patterns,
    encoding: 'utf-8',
    toEvent: toEventOf({ format: 'syslog', source: undefined, fields: {}, log: 'syslog' }),
    isWanted: ({ source }) => !(withoutKernel && source === 'kernel'),
  });
}

function createLogFiles(deps: LoopDeps, { root }: View, file: FileLog): EventSource {
  const { path, encoding } = file;
  return createFileSource(deps, {
    log: `file:${path}`,
    patterns: [`${root}${path}`],
    encoding,
    toEvent: toEventOf(file),
  });
}
