import { chmodSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { ChannelSpec, CommandTarget } from '../channels/channel.ts';
import { sampleMessage } from '../templates/sample.ts';
import { createCommandSender } from './command.ts';
import type { Hand } from './sender.ts';

function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), 'openline-commands-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

function program(directory: string, name: string, script: string): void {
  writeFileSync(join(directory, name), `#!/bin/sh\n${script}\n`);
  chmodSync(join(directory, name), 0o755);
}

const target = (over: Partial<CommandTarget> = {}): CommandTarget => ({
  kind: 'command',
  program: 'tell',
  args: [],
  ...over,
});
function run(
  directory: string | undefined,
  over: Partial<CommandTarget> = {},
  timeoutMs = 5_000,
  hand: Partial<Hand> = {},
) {
  const spec: ChannelSpec = {
    target: target(over),
    concurrency: 1,
    rate: undefined,
    timeoutMs,
    giveUpAfterMs: 60_000,
    whenUncertain: 'keep',
    templates: {},
  };
  const sender = createCommandSender(target(over), spec, directory);
  const message = sampleMessage('opened', { id: 'id-1' });
  return sender.send(message, {
    handOver: async () => {},
    signal: new AbortController().signal,
    templates: {},
    ...hand,
  });
}

describe('a command', () => {
  it('gets the alert on its standard input and in its environment, and nothing of the server', async () => {
    const directory = folder();
    process.env['OPENLINE_SECRET_TEST'] = 'hunter2';
    onTestFinished(() => void delete process.env['OPENLINE_SECRET_TEST']);
    program(directory, 'tell', 'cat; echo "$OPENLINE_TITLE|$OPENLINE_AGENT|$1|$2"; env | grep -c SECRET; true');
    const outcome = await run(directory, { args: ['$(id)', 'a b'] });
    expect(outcome).toMatchObject({
      kind: 'delivered',
      answer: expect.stringMatching(/^exit 0: \{"version":1,"id":"id-1"/),
    });
    program(
      directory,
      'tell',
      'cat > /dev/null; echo "$OPENLINE_TITLE|$OPENLINE_AGENT|$1|$2"; env | grep -c SECRET; true',
    );
    expect(await run(directory, { args: ['$(id)', 'a b'] })).toEqual({
      kind: 'delivered',
      answer: 'exit 0: Disk /var is almost full: "95 %" & <rising>|web-1|$(id)|a b 0',
    });
  });

  it('says by its exit code what becomes of the message', async () => {
    const directory = folder();
    program(directory, 'tell', 'echo no >&2; exit $1');
    expect(await run(directory, { args: ['65'] })).toEqual({ kind: 'refused', reason: 'exit 65: no' });
    expect(await run(directory, { args: ['1'] })).toEqual({ kind: 'deferred', reason: 'exit 1: no' });
  });

  it('that takes too long is ended with everything that it started', async () => {
    const directory = folder();
    program(directory, 'tell', 'sleep 600 & echo $!; wait');
    const outcome = await run(directory, {}, 300);
    expect(outcome).toMatchObject({ kind: 'uncertain', reason: expect.stringMatching(/longer than 0.3 s/) });
    const pid = Number(/: (\d+)$/.exec('reason' in outcome ? outcome.reason : '')?.[1]);
    expect(pid).toBeGreaterThan(1);
    await expect.poll(() => isAlive(pid)).toBe(false);
  });

  it('is run only from the directory of commands, and only when there is one', async () => {
    const directory = folder();
    const outside = folder();
    program(outside, 'evil', 'echo out');
    symlinkSync(join(outside, 'evil'), join(directory, 'link'));
    let handedOver = 0;
    const hand = { handOver: async () => void handedOver++ };
    expect(await run(undefined, {}, 1_000, hand)).toMatchObject({
      kind: 'away',
      reason: expect.stringMatching(/turned off/),
    });
    expect(await run(directory, {}, 1_000, hand)).toMatchObject({
      kind: 'away',
      reason: expect.stringMatching(/ENOENT/),
    });
    expect(await run(directory, { program: 'link' }, 1_000, hand)).toMatchObject({
      kind: 'away',
      reason: expect.stringMatching(/leads out/),
    });
    expect(handedOver).toBe(0);
  });
});

/** One that nobody has asked how it ended is dead too. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}
