import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EventLevel, type NodeEvent, type WatchEventsRequest } from '@openline/proto/alerts';
import type { TraceAgentResponse } from '@openline/proto/operator';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type FakeServer, startFakeServer } from './testing/fake-server.ts';
import { openline, type Running } from './testing/process.ts';

const TOKEN = 'olt_test-token';
let server: FakeServer;
let env: Record<string, string>;
let dir: string;

beforeAll(async () => {
  server = await startFakeServer();
  dir = mkdtempSync(join(tmpdir(), 'openline-watches-'));
  writeFileSync(join(dir, 'ca.pem'), server.tls.caPem);
  env = { OPENLINE_SERVER: server.address, OPENLINE_TOKEN: TOKEN, OPENLINE_CA: join(dir, 'ca.pem') };
});
afterAll(async () => {
  rmSync(dir, { recursive: true, force: true });
  await server.stop();
});
beforeEach(() => {
  server.token = TOKEN;
});

const event = (id: number): NodeEvent => ({
  id: BigInt(id),
  agentId: 'a-web-1',
  agentName: 'web-1',
  log: 'agent',
  source: 'test',
  eventId: '',
  level: EventLevel.EVENT_LEVEL_ERROR,
  atUnixMs: 1_700_000_000_000n,
  message: `event ${id}`,
  dataJson: '',
  watch: 'p/r',
  alertId: '',
});

/** The server goes away and comes back. */
async function restart(running: Running): Promise<void> {
  await server.stop();
  await running.says('connection lost');
  await server.start();
}

describe('openline events --follow, when the server goes away', () => {
  let asked: WatchEventsRequest[];
  const messages = (running: Running) =>
    running
      .stdout()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).message);

  beforeEach(() => {
    asked = [];
    server.watchEvents = (request) => {
      asked.push(request);
      return [{ events: [event(6), event(7)], position: 8n }];
    };
  });
  const follow = () => openline(['events', '--follow', '-o', 'jsonl'], env);

  it('says so, comes back by itself, and goes on behind what it has shown', async () => {
    const running = follow();
    await running.prints('event 7');
    server.watchEvents = (request) => {
      asked.push(request);
      return [
        { events: [], position: 8n },
        { events: [event(9)], position: 9n },
      ];
    };
    await restart(running);
    await running.prints('event 9');
    running.kill('SIGINT');
    const { code, stderr } = await running.end;
    expect(asked.map(({ after }) => after)).toEqual([undefined, 8n]);
    expect(messages(running)).toEqual(['event 6', 'event 7', 'event 9']);
    expect(stderr).toMatch(/^connection lost \([\w ]+\); going on when the server is back\nthe server is back\n$/);
    expect(code).toBe(130);
  });

  it('says that events may be missing, where the server does not know its place any more', async () => {
    const running = follow();
    await running.prints('event 7');
    server.watchEvents = () => [{ events: [], position: 4n }];
    await restart(running);
    await running.says('events may be missing here');
    running.kill('SIGTERM');
    expect((await running.end).code).toBe(143);
  });

  it('ends with a token that is not accepted any more', async () => {
    const running = follow();
    await running.prints('event 7');
    server.token = 'another';
    await restart(running);
    const { code, stderr } = await running.end;
    expect(stderr).toContain('error [UNAUTHENTICATED]');
    expect(code).toBe(2);
  });

  it('ends at once where no server answers at first', async () => {
    const running = openline(['events', '--follow'], { ...env, OPENLINE_SERVER: '127.0.0.1:1' });
    const { code, stderr } = await running.end;
    expect(stderr).toMatch(/^error \[SERVER_UNREACHABLE\]/);
    expect(code).toBe(1);
  });
});

describe('openline trace, when the server goes away', () => {
  const bytes = { messageBytesUp: 200n, messageBytesDown: 90n, socketBytesUp: 1_000n, socketBytesDown: 2_000n };
  const link = { connected: true, remoteAddress: '10.0.0.7:41234', sessionEpoch: 3n, openedUnixMs: 1_700_000_000_000n };
  const snapshot: TraceAgentResponse = {
    kind: {
      $case: 'snapshot',
      value: { ...link, messagesUp: 8n, messagesDown: 2n, ...bytes, tlsProtocol: 'TLSv1.3', tlsCipher: 'AES' },
    },
  };
  const frame = (detail: string): TraceAgentResponse => ({
    kind: {
      $case: 'frame',
      value: {
        ...{ atUnixUs: 1_700_000_000_123_456n, direction: 1, kind: 'heartbeat', bytes: 21, detail },
        ...{ socketBytesUp: 1_052n, socketBytesDown: 2_000n },
      },
    },
  });

  it('shows the link anew when it is back, says what is not shown, and goes on counting', async () => {
    server.trace = [snapshot, frame('seq 7')];
    const running = openline(['trace', 'web-1', '--count', '2'], env);
    await running.prints('seq 7');
    server.trace = [snapshot, frame('seq 9'), frame('seq 10')];
    await restart(running);
    const { code, stdout, stderr } = await running.end;
    expect(stderr).toContain('the server is back; frames that passed meanwhile are not shown\n');
    expect(stdout.match(/link of web-1|seq \d+/g)).toEqual(['link of web-1', 'seq 7', 'link of web-1', 'seq 9']);
    expect(code).toBe(0);
  });

  it('of an agent that is not known ends at once', async () => {
    const { code, stderr } = await openline(['trace', 'web-9'], env).end;
    expect(stderr).toMatch(/^error \[AGENT_UNKNOWN\]/);
    expect(code).toBe(2);
  });
});
