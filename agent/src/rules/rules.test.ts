import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Pack, parsePack } from '@openline/packs';
import { AlertSeverity, type EventBatch, type EventRecord, HealthState, Override, Policy } from '@openline/proto/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EventSink, EventSource, Position } from '../events/source.ts';
import { viewOf } from '../host/view.ts';
import { systemClock } from '../tasks/clock.ts';
import { quiet, until } from '../tasks/testing/support.ts';
import { type Rules, type RulesDeps, startRules } from './rules.ts';
import { eventOf, shortOf } from './testing/support.ts';

const watch = (version: string, body: string): Pack =>
  parsePack(
    Buffer.from(`apiVersion: openline.dev/v1
kind: Pack
metadata: { name: demo, version: ${version}, title: Demo, description: For tests. }
tasks:
  hello: { title: Hello, description: Says hello., run: { command: [echo, hello] } }
${body}`),
    'demo.yaml',
  );

const OFTEN = `rules:
  often:
    title: Often
    description: Three of them.
    on: { log: agent, pattern: '^often' }
    threshold: { count: 3, within: 1h }
    alert: { severity: warning, title: often, key: 'string(settings.mark)' }
    settings: { mark: 1 }
`;
const DISK = `monitors:
  disk:
    title: Disk
    description: From events.
    events:
      critical: { log: agent, pattern: '^disk (?P<mount>\\S+) is full' }
      healthy: { log: agent, pattern: '^disk (?P<mount>\\S+) is fine' }
      instance: match.mount
    alert: { from: critical, title: 'full' }
`;

/** A log that the test writes. */
class TestLog implements EventSource {
  readonly log: string;
  sink: EventSink | undefined;
  from: Position | undefined;
  stopped = false;
  #at = 0;
  constructor(log: string) {
    this.log = log;
  }
  start(position: Position | undefined, sink: EventSink): void {
    this.sink = sink;
    this.from = position;
    this.#at = Number(position ?? 0);
    if (position === undefined) void sink.push([], '0');
  }
  async stop(): Promise<void> {
    this.stopped = true;
  }
  async say(...messages: string[]): Promise<void> {
    this.#at += messages.length;
    const batch = messages.map((message) => eventOf(message, { log: this.log }));
    await this.sink?.push(batch, String(this.#at));
  }
}

let dataDir: string;
let node: Awaited<ReturnType<typeof start>> | undefined;

beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'openline-rules-'));
});
afterEach(async () => {
  await node?.rules.stop();
  node = undefined;
  rmSync(dataDir, { recursive: true });
});

async function start(packs: readonly Pack[] | undefined, deps: Partial<RulesDeps> = {}) {
  let held = packs ?? [];
  let listener: (() => Promise<void>) | undefined;
  const batches: EventBatch[] = [];
  const logs: TestLog[] = [];
  const rules: Rules = await startRules(
    {
      clock: systemClock,
      random: () => 0,
      log: quiet,
      packs: {
        newest: () => held,
        onChange(told) {
          listener = told;
          if (packs !== undefined) void told();
        },
      },
      send: (batch) => batches.push(batch) > 0,
      sources: () => {
        const made = ['agent', 'journal'].map((name) => new TestLog(name));
        logs.push(...made);
        return made;
      },
      ...deps,
    },
    {
      dataDir,
      agentName: 'web-1',
      labels: { role: 'web' },
      facts: {},
      interpreters: {},
      path: '',
      home: dataDir,
      view: viewOf('none', '', false),
      workRoot: join(dataDir, 'probes'),
      spoolLimitBytes: 1024 * 1024,
      share: 1,
      maxBacklogMs: 60_000,
      probes: 4,
      allow: ['*/*'],
      killGraceMs: 100,
    },
  );
  rules.sessionOpened(['events']);
  return {
    rules,
    batches,
    records: (): EventRecord[] => batches.flatMap(({ records }) => records),
    short: () => batches.flatMap(({ records }) => records).map(shortOf),
    async hold(...next: Pack[]) {
      held = next;
      await listener?.();
    },
    /** The one that is read. */
    log: (name: string) => logs.filter((log) => log.log === name && log.sink !== undefined && !log.stopped).at(-1),
    acknowledge() {
      const last = batches.at(-1)?.records.at(-1)?.seq ?? 0n;
      rules.acknowledged({ spoolId: batches[0]?.spoolId ?? '', seq: last });
    },
  };
}

async function ready(name = 'agent') {
  await until(() => node?.log(name) !== undefined, undefined, `the log ${name} to be read`);
  const log = node?.log(name);
  if (log === undefined) throw new Error('unreachable');
  return log;
}

const policyOf = (more: Partial<Override>): Policy =>
  Policy.create({ overrides: [Override.create({ packName: 'demo', watchName: 'often', ...more })] });

describe('rules at work', () => {
  it('read the logs that some rule wants, from now on, and no other', async () => {
    node = await start([watch('1.0.0', OFTEN)]);
    const log = await ready();
    expect(log.from).toBeUndefined();
    expect(node.log('journal')).toBeUndefined();
    await log.say('often', 'often', 'often');
    await until(() => node?.short().length === 1);
    expect(node.short()).toEqual(['1×1']);
    // Nobody wants it any more.
    await node.hold(watch('1.1.0', DISK.replaceAll('log: agent', 'log: journal')));
    expect(log.stopped).toBe(true);
    expect((await ready('journal')).from).toBeUndefined();
  });

  it('keep what they counted over a new version of the pack, an override, and a restart', async () => {
    node = await start([watch('1.0.0', OFTEN)]);
    await (await ready()).say('often');
    await node.hold(watch('1.1.0', OFTEN));
    node.rules.policy(policyOf({ settingsJson: '{"mark": 2}' }));
    await (await ready()).say('often');
    await node.rules.stop();
    node = await start([watch('1.1.0', OFTEN)]);
    const log = await ready();
    expect(log.from).toBe('2');
    await log.say('often');
    await until(() => node?.short().length === 1);
    // The override, too, was kept: no server has told it again.
    expect(node.short()).toEqual(['2×1']);
  });

  it('obey a policy at once, whether a pack enables or disables a rule', async () => {
    node = await start([watch('1.0.0', OFTEN)]);
    node.rules.policy(
      policyOf({ settingsJson: '{"threshold.count": 2}', severity: AlertSeverity.ALERT_SEVERITY_CRITICAL }),
    );
    await node.hold(watch('1.0.0', OFTEN));
    await (await ready()).say('often', 'often');
    await until(() => node?.short().length === 1);
    const [first] = node.records();
    expect(first?.kind?.$case === 'detection' && first.kind.value.alert?.severity).toBe(3);
    node.rules.policy(policyOf({ enabled: false }));
    await until(() => node?.log('agent') === undefined);
  });

  it('hold by what the server calls the agent, as selectors do, and go on so after a restart', async () => {
    const bySite = OFTEN.replace('    on:', '    requires: { site: lyon, role: db }\n    on:');
    node = await start([watch('1.0.0', bySite.replace("'string(settings.mark)'", 'agent.labels.site'))]);
    node.rules.pinned({ site: 'lyon', role: 'db' });
    await (await ready()).say('often', 'often', 'often');
    await until(() => node?.short().length === 1);
    expect(node.short()).toEqual(['lyon×1']);
    await node.rules.stop();
    node = await start([watch('1.0.0', bySite)]);
    await ready();
    node.rules.pinned({});
    await until(() => node?.log('agent') === undefined);
  });

  it('tell of what they no longer watch, but not because packs are still being read', async () => {
    node = await start([watch('1.0.0', DISK)]);
    await (await ready()).say('disk / is full', 'disk /var is full', 'disk /var is fine');
    await until(() => node?.short().length === 3);
    node.acknowledge();
    await node.rules.stop();
    // The line is open before the packs are read, and the policy is the first that the server says.
    node = await start(undefined);
    node.rules.policy(policyOf({ enabled: false }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await node.hold(watch('1.0.0', DISK));
    await (await ready()).say('disk / is fine');
    await until(() => (node?.short().length ?? 0) >= 1);
    expect(node.short()).toEqual([`disk → ${HealthState.HEALTH_STATE_HEALTHY}`]);
    await node.hold();
    await until(() => (node?.short().length ?? 0) >= 3);
    const gone = node.records().slice(1);
    const instances = gone.map(({ kind }) => (kind?.$case === 'stateChange' ? kind.value.instance : ''));
    expect(instances.sort()).toEqual(['/', '/var']);
    expect(gone.map(shortOf)).toEqual(Array(2).fill(`disk → ${HealthState.HEALTH_STATE_UNSPECIFIED}`));
  });

  it('say nothing to a server that takes no events, and all of it to the next', async () => {
    node = await start([watch('1.0.0', OFTEN)]);
    const log = await ready();
    node.rules.sessionClosed();
    node.rules.sessionOpened([]);
    await log.say('often', 'often', 'often');
    await until(() => node?.rules.health().spooledEventRecords === 1n);
    expect(node.batches).toEqual([]);
    node.rules.sessionClosed();
    node.rules.sessionOpened(['events']);
    await until(() => node?.short().length === 1);
    node.acknowledge();
    expect(node.rules.health().spooledEventRecords).toBe(0n);
  });

  it('prove that they work, and say so when a log cannot be read', async () => {
    node = await start([watch('1.0.0', OFTEN)]);
    const log = await ready();
    await until(() => (node?.rules.health().rulesCheckedMsAgo ?? 1_000) < 500);
    expect(node.rules.health().fault).toBe('');
    log.sink?.fault('permission denied');
    expect(node.rules.health().fault).toBe('agent: permission denied');
    log.sink?.fault('');
    expect(node.rules.health().fault).toBe('');
  });
});
