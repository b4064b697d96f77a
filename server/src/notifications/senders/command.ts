import { spawn } from 'node:child_process';
import { realpathSync, statSync } from 'node:fs';
import { join, sep } from 'node:path';
import type { ChannelSpec, CommandTarget } from '../channels/channel.ts';
import type { Message } from '../message.ts';
import { jsonOf } from '../templates/render.ts';
import { type Delivery, reasonOf, type Sender } from './sender.ts';

const MAX_OUTPUT_CHARS = 2_000;
const KILL_AFTER_MS = 2_000;
const MAX_VARIABLE_CHARS = 10_000;
/** EX_DATAERR of sysexits.h: the message is no good, and will not get better. */
const REFUSED = 65;

/**
 * Runs a program of the server's directory of commands: no shell, no path, an environment of its own; the message is on standard input.
 * @param directory undefined: commands are turned off
 */
export function createCommandSender(target: CommandTarget, spec: ChannelSpec, directory: string | undefined): Sender {
  return {
    async send(message, { handOver, signal }) {
      const program = programOf(target, directory);
      if (typeof program !== 'string') return { kind: 'away', reason: program.why };
      await handOver();
      return run(program, target.args, message, spec.timeoutMs, signal);
    },
    close() {},
  };
}

function programOf({ program }: CommandTarget, directory: string | undefined): string | { why: string } {
  if (directory === undefined)
    return { why: 'commands are turned off: the server’s configuration names no notifyCommands' };
  try {
    const root = realpathSync(directory);
    const file = realpathSync(join(root, program));
    if (!file.startsWith(root + sep)) return { why: `the command ${program} leads out of the directory of commands` };
    if (!statSync(file).isFile()) return { why: `the command ${program} is no file` };
    return file;
  } catch (error) {
    return { why: `the command ${program} cannot be used: ${reasonOf(error)}` };
  }
}

function run(
  program: string,
  args: readonly string[],
  message: Message,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Delivery> {
  return new Promise((resolve) => {
    // A group of its own, so that what it starts ends with it.
    const child = spawn(program, [...args], {
      env: environmentOf(message),
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
      cwd: '/',
    });
    let said = '';
    let over = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (data: Buffer) => {
        if (said.length < MAX_OUTPUT_CHARS) said += data.toString('utf8').slice(0, MAX_OUTPUT_CHARS - said.length);
      });
    }
    const kill = (name: NodeJS.Signals) => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, name);
      } catch {
        // It ended by itself.
      }
    };
    const stop = (why: string) => {
      over ||= why;
      kill('SIGTERM');
      setTimeout(() => kill('SIGKILL'), KILL_AFTER_MS).unref();
    };
    const timer = setTimeout(
      () => stop(`the command took longer than ${timeoutMs / 1000} s, and was ended`),
      timeoutMs,
    );
    const onAbort = () => stop(`the command was ended: ${reasonOf(signal.reason)}`);
    signal.addEventListener('abort', onAbort, { once: true });
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
    child.once('error', (error) => {
      end();
      // It was never started, so nothing was handed over, whatever was recorded: that is taken back.
      resolve({ kind: 'away', reason: `the command cannot be started: ${reasonOf(error)}` });
    });
    child.once('close', (code, endedBy) => {
      end();
      kill('SIGKILL');
      const words = said
        .replace(/[\s\p{Cc}]+/gu, ' ')
        .trim()
        .slice(0, 500);
      const reason = `${over || (endedBy === null ? `exit ${code}` : `ended by ${endedBy}`)}${words === '' ? '' : `: ${words}`}`;
      if (over !== '') resolve({ kind: 'uncertain', reason });
      else if (code === 0) resolve({ kind: 'delivered', answer: reason });
      else resolve(code === REFUSED ? { kind: 'refused', reason } : { kind: 'deferred', reason });
    });
    child.stdin.on('error', () => {}); // it may end without reading
    child.stdin.end(`${JSON.stringify(jsonOf(message))}\n`);
    if (signal.aborted) onAbort();
  });
}

function environmentOf(message: Message): Record<string, string> {
  const { alert, change } = message.items.at(-1) ?? {};
  const variables: Record<string, string> = {
    KIND: message.kind,
    ID: message.id,
    SUBSCRIPTION: message.subscription,
    CHANNEL: message.channel,
    STEP: String(message.step),
    ATTEMPT: String(message.attempt),
    ITEMS: String(message.items.length),
    ALERT_ID: alert?.id ?? '',
    SEVERITY: alert?.severity ?? '',
    STATE: alert?.state ?? '',
    TITLE: alert?.title ?? '',
    DESCRIPTION: alert?.description ?? '',
    AGENT: alert?.agentName ?? '',
    WATCH: alert?.subject.watch ?? '',
    KEY: alert?.subject.key ?? '',
    COUNT: String(alert?.count ?? 0),
    CHANGE: change?.kind ?? '',
    BY: change?.by ?? '',
    COMMENT: change?.comment ?? '',
  };
  const clean = (value: string) => value.replaceAll('\0', '').slice(0, MAX_VARIABLE_CHARS);
  return {
    // The server's own environment holds secrets.
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    LANG: process.env['LANG'] ?? 'C.UTF-8',
    ...Object.fromEntries(Object.entries(variables).map(([name, value]) => [`OPENLINE_${name}`, clean(value)])),
  };
}
