import { HealthServiceService, type WatchHealthResponse } from '@openline/proto/operator-health';
import type { OperatorClient } from '../client/client.ts';
import { EXIT, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { printDocument, printItems, printLines } from '../render/document.ts';
import {
  renderAgentHealth,
  renderFleet,
  renderGroups,
  renderHealthChange,
  renderHeartbeat,
  renderMonitors,
} from '../render/health.ts';
import { printable } from '../render/text.ts';
import { formatAge } from '../render/time.ts';
import {
  type AgentHealthView,
  agentHealthView,
  BUCKETS,
  type GroupHealthView,
  groupHealthView,
  heartbeatView,
  monitorView,
} from '../views/health.ts';
import { at } from '../views/values.ts';
import { stopOnInterrupt } from '../watch/interrupts.ts';
import { createLiveView } from '../watch/live-view.ts';
import { watchOn } from '../watch/streams.ts';
import { type GlobalFlags, type OutputFlag, withClient } from './context.ts';

export interface HealthFlags extends OutputFlag {
  readonly on?: string | undefined;
  readonly state?: string | undefined;
  readonly limit: string;
  readonly watch?: boolean | undefined;
}

/** What is shown where no state is asked for: who is not healthy. */
const ILL = BUCKETS.filter((bucket) => bucket !== 'healthy');

/** @param agent one of them, in detail */
export function showHealth(
  agent: string | undefined,
  flags: HealthFlags,
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  if (agent !== undefined) return showOne(agent, flags, global, io);
  const limit = Number(flags.limit);
  if (!Number.isInteger(limit) || limit < 1) throw usageError('--limit is not a whole number above 0');
  const states = statesOf(flags.state);
  if (flags.watch === true) return watchHealth(flags, states, global, io);
  return withClient(global, io, async (client) => {
    const { fleet, groups } = await client.unary(HealthServiceService.getHealth, {});
    const targets = flags.on ?? '';
    const { agents, more } = await listAgents(client, { targets, states, limit });
    const view = {
      fleet: fleet === undefined ? null : groupHealthView(fleet),
      groups: groups.map(groupHealthView),
      agents,
    };
    if (flags.output === 'jsonl') await printItems(io, 'jsonl', typedItems(view));
    else if (flags.output !== 'table') await printDocument(io, flags.output, view);
    else {
      printLines(io, renderHealth(targets === '' ? view : { fleet: null, groups: [], agents }, io));
      if (targets !== '' && agents.length === 0) io.err.write(`${await whyNone(client, targets)}\n`);
      if (more) io.err.write(`there are more: --limit ${limit * 10}, or narrow them down with --on and --state\n`);
    }
    return EXIT.ok;
  });
}

function showOne(agent: string, flags: HealthFlags, global: GlobalFlags, io: Io): Promise<number> {
  if (flags.on !== undefined) throw usageError('the agent and --on are two ways to say which', 'Give one.');
  if (flags.watch !== true) return showAgentHealth(agent, flags, global, io);
  return watchHealth({ ...flags, on: `name=${agent}` }, statesOf(flags.state ?? 'all'), global, io);
}

async function whyNone(client: OperatorClient, targets: string): Promise<string> {
  const { agents } = await listAgents(client, { targets, states: [], limit: 1 });
  return agents.length === 0
    ? `no agent matches «${targets}»`
    : 'none of these agents is in such a state; `--state all` shows them';
}

interface HealthDocument {
  readonly fleet: GroupHealthView | null;
  readonly groups: readonly GroupHealthView[];
  readonly agents: readonly AgentHealthView[];
}

function typedItems({ fleet, groups, agents }: HealthDocument): unknown[] {
  return [
    ...(fleet === null ? [] : [{ type: 'fleet', ...fleet }]),
    ...groups.map((group) => ({ type: 'group', ...group })),
    ...agents.map((agent) => ({ type: 'agent', ...agent })),
  ];
}

function renderHealth({ fleet, groups, agents }: HealthDocument, io: Io): string[] {
  const screen = io.out.screen();
  const parts = [
    fleet === null ? [] : renderFleet(fleet, screen),
    groups.length === 0 ? [] : renderGroups(groups, screen),
    agents.length === 0 ? [] : renderAgentHealth(agents, screen, io.nowMs()),
  ];
  return parts.filter((part) => part.length > 0).flatMap((part, index) => (index === 0 ? part : ['', ...part]));
}

function statesOf(text: string | undefined): string[] {
  if (text === undefined) return ILL;
  if (text === 'all') return [];
  return text.split(',').map((part) => {
    const state = part.trim();
    if (!BUCKETS.some((bucket) => bucket === state))
      throw usageError(`--state «${state}» is none of ${BUCKETS.join(', ')}, all`, 'Several are joined by commas.');
    return state;
  });
}

async function listAgents(
  client: OperatorClient,
  { targets, states, limit }: { targets: string; states: string[]; limit: number },
): Promise<{ agents: AgentHealthView[]; more: boolean }> {
  const agents: AgentHealthView[] = [];
  let pageToken = '';
  do {
    const request = { targets, states, limit: Math.min(1000, limit - agents.length), pageToken };
    const page = await client.unary(HealthServiceService.listAgentHealth, request);
    agents.push(...page.agents.map(agentHealthView));
    pageToken = page.nextPageToken;
  } while (pageToken !== '' && agents.length < limit);
  return { agents, more: pageToken !== '' };
}

/** Ends by Ctrl-C. Goes on when the server is back. On a terminal it is redrawn; elsewhere each change is a line. */
function watchHealth(flags: HealthFlags, states: readonly string[], global: GlobalFlags, io: Io): Promise<number> {
  if (flags.output !== 'table' && flags.output !== 'jsonl')
    throw usageError(`a watch has no end, so -o ${flags.output} would never be written`, 'Use -o jsonl.');
  const narrowed = flags.on !== undefined;
  return withClient(global, io, async (client) => {
    const stop = stopOnInterrupt(io);
    const live = flags.output === 'table' && io.out.screen().isTTY ? createLiveView(io.out) : undefined;
    const board = createBoard();
    const shown = (): HealthDocument => {
      const view = board.view(states, Number(flags.limit));
      return narrowed ? { ...view, fleet: null, groups: [] } : view;
    };
    // What is shown is old from then on; it is drawn anew when the server is back.
    const notice = (text: string) =>
      live === undefined ? io.err.write(`${text}\n`) : live.draw(fitting([text, '', ...renderHealth(shown(), io)], io));
    let opened = false;
    const request = () => {
      opened = true;
      return { targets: flags.on ?? '' };
    };
    const patience = { signal: stop.signal, notice };
    try {
      for await (const update of watchOn(client, HealthServiceService.watchHealth, request, patience)) {
        if (opened) board.forget();
        opened = false;
        const changed = board.take(update).filter(({ type }) => !narrowed || type === 'agent' || type === 'removed');
        if (flags.output === 'jsonl') io.out.write(changed.map((item) => `${JSON.stringify(item)}\n`).join(''));
        else if (live !== undefined) {
          if (update.complete) live.draw(fitting(renderHealth(shown(), io), io));
        } else if (!update.snapshot)
          printLines(
            io,
            changed.flatMap((item) => changeLine(item, io)),
          );
        else if (update.complete) printLines(io, renderHealth(shown(), io));
        await io.out.drained();
      }
      return stop.exitCode;
    } finally {
      live?.close();
      stop.close();
    }
  });
}

type Item =
  | ({ readonly type: 'agent' } & AgentHealthView)
  | ({ readonly type: 'group' | 'fleet' } & GroupHealthView)
  | { readonly type: 'removed'; readonly agentId: string };

/** What is known by what the watch has said so far. */
function createBoard() {
  let fleet: GroupHealthView | null = null;
  const groups = new Map<string, GroupHealthView>();
  const agents = new Map<string, AgentHealthView>();
  return {
    /** Another watch begins, which says everything anew: also what was removed before it is known by that alone. */
    forget() {
      groups.clear();
      agents.clear();
    },
    take(update: WatchHealthResponse): Item[] {
      const before = JSON.stringify(fleet);
      fleet = update.fleet === undefined ? fleet : groupHealthView(update.fleet);
      for (const key of update.removedGroups) groups.delete(key);
      for (const id of update.removedAgents) agents.delete(id);
      const changedGroups = update.groups.map(groupHealthView);
      const changedAgents = update.agents.map(agentHealthView);
      for (const group of changedGroups) groups.set(`${group.label}=${group.value}`, group);
      for (const agent of changedAgents) agents.set(agent.agentId, agent);
      return [
        ...(fleet === null || JSON.stringify(fleet) === before ? [] : [{ type: 'fleet' as const, ...fleet }]),
        ...changedGroups.map((group) => ({ type: 'group' as const, ...group })),
        ...changedAgents.map((agent) => ({ type: 'agent' as const, ...agent })),
        ...update.removedAgents.map((agentId) => ({ type: 'removed' as const, agentId })),
      ];
    },
    view(states: readonly string[], limit: number): HealthDocument {
      const shown = [...agents.values()]
        .filter(({ counted }) => states.length === 0 || states.includes(counted))
        .sort((a, b) => RANK.indexOf(a.counted) - RANK.indexOf(b.counted) || (a.agent < b.agent ? -1 : 1))
        .slice(0, limit);
      return { fleet, groups: [...groups.values()], agents: shown };
    },
  };
}

/** The worst first, as the server lists them. */
const RANK = ['unreachable', 'critical', 'warning', 'unknown', 'healthy', 'maintenance'];

function changeLine(item: Item, io: Io): string[] {
  return item.type === 'agent' ? [renderHealthChange(item, io.out.screen())] : [];
}

/** What a terminal has room for. */
function fitting(lines: readonly string[], io: Io): string[] {
  const rows = Math.max(3, io.out.screen().rows - 1);
  return lines.length <= rows ? [...lines] : [...lines.slice(0, rows - 1), `… ${lines.length - rows + 1} lines more`];
}

export function showAgentHealth(name: string, flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    const found = await client.unary(HealthServiceService.getAgentHealth, { agent: name });
    if (found.agent === undefined) return EXIT.notAll;
    const agent = agentHealthView(found.agent);
    const heartbeat = heartbeatView(found.heartbeat);
    const monitors = found.monitors.map(monitorView);
    if (flags.output !== 'table') {
      await printDocument(io, flags.output, { ...agent, heartbeat, monitorStates: monitors, evidence: found.evidence });
      return EXIT.ok;
    }
    const nowMs = io.nowMs();
    const line = (key: string, value: string) => `${`${key}:`.padEnd(14)}${printable(value)}`;
    printLines(io, [
      line('agent', agent.agent),
      line('health', agent.counted === agent.state ? agent.state : `${agent.counted}; last known: ${agent.state}`),
      line('why', agent.reason ?? 'nothing is wrong'),
      line('line', agent.line === 'up' ? 'up' : `${agent.line}, last heard ${formatAge(at(agent.lineSince), nowMs)}`),
      ...found.evidence.map((note) => `${''.padEnd(14)}${printable(note)}`),
      ...(agent.maintenanceId === null ? [] : [line('maintenance', agent.maintenanceId)]),
      ...(heartbeat === null ? [] : renderHeartbeat(heartbeat)),
      ...(monitors.length === 0
        ? [line('monitors', 'none has said anything')]
        : ['', ...renderMonitors(monitors, false, io.out.screen(), nowMs)]),
    ]);
    return EXIT.ok;
  });
}
