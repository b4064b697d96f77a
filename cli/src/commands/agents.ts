import { FleetServiceService } from '@openline/proto/operator';
import { createColors } from 'picocolors';
import { EXIT } from '../failure.ts';
import type { Io } from '../io.ts';
import { printDocument, printItems, printLines } from '../render/document.ts';
import { type Column, renderTable } from '../render/table.ts';
import { printable } from '../render/text.ts';
import { formatAge } from '../render/time.ts';
import { type AgentView, agentView } from '../views/agent.ts';
import { at } from '../views/values.ts';
import { type GlobalFlags, type OutputFlag, withClient } from './context.ts';

const names = new Intl.Collator('en', { numeric: true });

export function listAgents(
  flags: OutputFlag & { selector?: string | undefined; all?: boolean | undefined },
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  return withClient(global, io, async (client) => {
    const request = { selector: flags.selector ?? '', includeRevoked: flags.all === true };
    const { agents } = await client.unary(FleetServiceService.listAgents, request);
    const views = agents.map(agentView).sort((a, b) => names.compare(a.name, b.name));
    if (flags.output !== 'table') await printItems(io, flags.output, views);
    else if (views.length > 0) printLines(io, renderAgents(views, io));
    else if (flags.selector === undefined)
      io.err.write('no agents yet\n→ `openline tokens create --join` prints the command that makes one\n');
    else io.err.write(`no agent matches ${flags.selector}\n→ \`openline agents list\` shows labels and facts\n`);
    return EXIT.ok;
  });
}

function statePaint(state: AgentView['state'], color: boolean): (text: string) => string {
  const paint = createColors(color);
  return { online: paint.green, faulty: paint.red, offline: paint.yellow, revoked: paint.dim }[state];
}

function pairs(labels: Record<string, string>): string {
  return Object.entries(labels)
    .sort()
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

function renderAgents(agents: readonly AgentView[], io: Io): string[] {
  const screen = io.out.screen();
  const nowMs = io.nowMs();
  const columns: Column<AgentView>[] = [
    { title: 'NAME', cell: (agent) => agent.name, shrinks: true },
    {
      title: 'STATE',
      cell: (agent) => agent.state,
      paint: (text, agent) => statePaint(agent.state, screen.color)(text),
    },
    { title: 'OS', cell: (agent) => agent.facts['os'] ?? '' },
    {
      title: 'TASKS',
      cell: (agent) => (agent.running + agent.queued === 0 ? '0' : `${agent.running} running, ${agent.queued} queued`),
    },
    {
      title: 'SEEN',
      cell: (agent) =>
        agent.state === 'online' || agent.state === 'faulty' ? 'now' : formatAge(at(agent.lastSeenAt), nowMs),
    },
    { title: 'VERSION', cell: (agent) => agent.version, shrinks: true },
    { title: 'LABELS', cell: (agent) => pairs(agent.labels), shrinks: true },
  ];
  return renderTable(columns, agents, screen.columns);
}

export function showAgent(name: string, flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    const { agent } = await client.unary(FleetServiceService.getAgent, { agent: name });
    if (agent === undefined) return EXIT.notAll;
    const view = agentView(agent);
    if (flags.output !== 'table') await printDocument(io, flags.output, view);
    else printLines(io, renderAgent(view, io));
    return EXIT.ok;
  });
}

function renderAgent(agent: AgentView, io: Io): string[] {
  const screen = io.out.screen();
  const nowMs = io.nowMs();
  const line = (key: string, value: string) => `${`${key}:`.padEnd(14)}${printable(value)}`;
  const section = (title: string, values: Record<string, string>) => [
    `${title}:`,
    ...(Object.keys(values).length === 0 ? ['  none'] : []),
    ...Object.entries(values)
      .sort()
      .map(([key, value]) => `  ${printable(key)} = ${printable(value)}`),
  ];
  return [
    line('name', agent.name),
    line('id', agent.id),
    `${'state:'.padEnd(14)}${statePaint(agent.state, screen.color)(agent.state)}${agent.fault === null ? '' : `: ${printable(agent.fault)}`}`,
    line('version', agent.version),
    line('address', agent.remoteAddress ?? '-'),
    line('connected', `${formatAge(at(agent.connectedAt), nowMs)} (session epoch ${agent.sessionEpoch})`),
    line('last seen', formatAge(at(agent.lastSeenAt), nowMs)),
    line('enrolled', formatAge(at(agent.enrolledAt), nowMs)),
    line('certificate', `expires ${formatAge(at(agent.certificateExpiresAt), nowMs)}`),
    line('tasks', `${agent.running} running, ${agent.queued} queued`),
    ...section('labels', agent.labels),
    ...section('facts', agent.facts),
    'packs:',
    ...(agent.packs.length === 0
      ? ['  none']
      : renderTable(
          [
            { title: '  NAME', cell: (pack) => `  ${pack.name}` },
            { title: 'VERSION', cell: (pack) => pack.version },
            { title: 'DIGEST', cell: (pack) => pack.digest.slice(0, 12) },
            {
              title: 'STATE',
              cell: (pack) => (pack.ready ? 'ready' : `${pack.reasonCode ?? 'not ready'} ${pack.reason ?? ''}`),
              shrinks: true,
            },
          ],
          agent.packs,
          screen.columns,
        )),
  ];
}

export function revokeAgent(
  name: string,
  flags: { reason?: string | undefined },
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  return withClient(global, io, async (client) => {
    await client.unary(FleetServiceService.revokeAgent, { agent: name, reason: flags.reason ?? '' });
    io.out.write(`agent ${name} is revoked: its link is ended, and its certificate is not accepted again\n`);
    return EXIT.ok;
  });
}

export function deleteAgent(name: string, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    await client.unary(FleetServiceService.deleteAgent, { agent: name });
    io.out.write(`agent ${name} is deleted\n`);
    return EXIT.ok;
  });
}
