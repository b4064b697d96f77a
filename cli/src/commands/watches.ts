import { WatchKind, WatchServiceService } from '@openline/proto/operator-health';
import type { OperatorClient } from '../client/client.ts';
import { EXIT, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { printDocument, printItems, printLines } from '../render/document.ts';
import { renderLayers, renderMonitors, renderWatches, settingsText } from '../render/health.ts';
import { printable } from '../render/text.ts';
import { HEALTH, type HealthState, layerView, type MonitorView, monitorView, watchView } from '../views/health.ts';
import { iso } from '../views/values.ts';
import { type GlobalFlags, type OutputFlag, withClient } from './context.ts';

/** Rules and monitors: what there is, what holds on an agent and why, and the states of monitors. */

export interface ListWatchesFlags extends OutputFlag {
  readonly on?: string | undefined;
}

export function listRules(
  watch: string | undefined,
  flags: ListWatchesFlags,
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  const agent = flags.on === undefined ? '' : (agentName(flags.on) ?? notOneAgent('rules'));
  return withClient(global, io, (client) =>
    printWatches(client, { kind: 'rule', agent, watch: watch ?? '' }, flags, io),
  );
}

/** `web-1` and `name=web-1` name one agent; anything else is an expression. */
function agentName(text: string): string | undefined {
  const name = /^(?:name==?)?([\w.-]+)$/.exec(text.trim())?.[1];
  return name === 'all' ? undefined : name;
}

function notOneAgent(what: string): never {
  throw usageError(
    `--on takes the name of one agent here: what ${what} hold differs from agent to agent`,
    'Name one: --on web-1.',
  );
}

interface Asked {
  readonly kind: 'rule' | 'monitor';
  /** Empty: as the packs have them. */
  readonly agent: string;
  readonly watch: string;
}

async function readWatches(client: OperatorClient, { kind, agent, watch }: Asked) {
  const request = { kind: kind === 'rule' ? WatchKind.WATCH_KIND_RULE : WatchKind.WATCH_KIND_MONITOR, agent, watch };
  return (await client.unary(WatchServiceService.listWatches, request)).watches.map(watchView);
}

async function printWatches(client: OperatorClient, asked: Asked, flags: OutputFlag, io: Io): Promise<number> {
  const watches = await readWatches(client, asked);
  if (flags.output !== 'table') await printItems(io, flags.output, watches);
  else if (watches.length > 0) printLines(io, renderWatches(watches, asked.agent !== '', io.out.screen()));
  else
    io.err.write(
      `${asked.watch === '' ? 'no pack has' : `the pack ${asked.watch} has no`} ${asked.kind}s\n→ \`openline packs list\` shows the packs\n`,
    );
  return EXIT.ok;
}

export interface ListMonitorsFlags extends OutputFlag {
  readonly on?: string | undefined;
  readonly state?: string | undefined;
  readonly limit: string;
  readonly available?: boolean | undefined;
}

export function listMonitors(
  watch: string | undefined,
  flags: ListMonitorsFlags,
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  const limit = Number(flags.limit);
  if (!Number.isInteger(limit) || limit < 1) throw usageError('--limit is not a whole number above 0');
  const states = statesOf(flags.state);
  const agent = flags.on === undefined ? undefined : agentName(flags.on);
  return withClient(global, io, async (client) => {
    if (flags.available === true) {
      const on = flags.on === undefined ? '' : (agent ?? notOneAgent('monitors'));
      return printWatches(client, { kind: 'monitor', agent: on, watch: watch ?? '' }, flags, io);
    }
    const targets = agent === undefined ? (flags.on ?? '') : `name=${agent}`;
    const monitors: MonitorView[] = [];
    let pageToken = '';
    do {
      const request = {
        targets,
        states,
        monitor: watch ?? '',
        limit: Math.min(1000, limit - monitors.length),
        pageToken,
      };
      const page = await client.unary(WatchServiceService.listMonitorStates, request);
      monitors.push(...page.monitors.map(monitorView));
      pageToken = page.nextPageToken;
    } while (pageToken !== '' && monitors.length < limit);
    if (flags.output !== 'table') await printItems(io, flags.output, monitors);
    else {
      const asksOne = agent !== undefined && states.length === 0;
      const others = asksOne ? await othersOf(client, agent, watch ?? '', monitors) : [];
      if (monitors.length > 0) printLines(io, renderMonitors(monitors, true, io.out.screen(), io.nowMs()));
      else
        io.err.write(
          'no monitor has said anything of this\n→ `openline monitors --available` lists those of the packs\n',
        );
      if (pageToken !== '') io.err.write(`there are more: --limit ${limit * 10}, or narrow them down\n`);
      if (others.length > 0) printLines(io, ['', ...renderWatches(others, true, io.out.screen())]);
    }
    return EXIT.ok;
  });
}

/** Of one agent also the monitors that have no state there, and why. */
async function othersOf(client: OperatorClient, agent: string, watch: string, shown: readonly MonitorView[]) {
  const known = new Set(shown.map(({ monitor }) => monitor));
  const asked = (name: string) => watch === '' || name === watch || name.startsWith(`${watch}/`);
  // All of them: a pack that is gone, and has left states behind, is no mistake here.
  const watches = await readWatches(client, { kind: 'monitor', agent, watch: '' });
  return watches.filter(({ name }) => asked(name) && !known.has(name));
}

function statesOf(text: string | undefined) {
  if (text === undefined || text === 'all') return [];
  return text.split(',').map((part) => {
    const state = part.trim();
    if (!isState(state))
      throw usageError(
        `--state «${state}» is none of ${Object.keys(HEALTH).join(', ')}, all`,
        'Several are joined by commas.',
      );
    return HEALTH[state];
  });
}

function isState(text: string): text is HealthState {
  return Object.hasOwn(HEALTH, text);
}

export function resetMonitor(
  monitor: string,
  flags: OutputFlag & { readonly agent?: string | undefined; readonly instance?: string | undefined },
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  const { agent } = flags;
  if (agent === undefined) throw usageError('which agent?', 'Name it: --agent web-1.');
  return withClient(global, io, async (client) => {
    const answer = await client.unary(WatchServiceService.resetMonitor, {
      agent,
      monitor,
      instance: flags.instance ?? '',
    });
    const { requested, waiting } = answer;
    const expiresAt = iso(answer.expiresUnixMs);
    if (flags.output !== 'table') {
      await printDocument(io, flags.output, { agent, monitor, requested, waiting, expiresAt });
    } else if (!requested) io.err.write(`${monitor} is not ill on ${agent}: there is nothing to reset\n`);
    else if (waiting) {
      io.out.write(`${agent} is away: ${monitor} is reset when it is back; it waits until ${expiresAt}\n`);
    } else io.out.write(`${monitor} is being reset on ${agent}\n`);
    return EXIT.ok;
  });
}

export function explainWatch(
  name: string,
  flags: OutputFlag & { readonly agent?: string | undefined },
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  const { agent } = flags;
  if (agent === undefined) throw usageError('on which agent?', 'Name it: --agent web-1.');
  return withClient(global, io, async (client) => {
    const found = await client.unary(WatchServiceService.explainWatch, { agent, watch: name });
    if (found.watch === undefined || found.packDefault === undefined) return EXIT.notAll;
    const view = {
      agent,
      ...watchView(found.watch),
      packDefault: watchView(found.packDefault),
      layers: found.layers.map(layerView),
      problems: found.problems,
      requirements: found.requirements,
    };
    if (flags.output !== 'table') {
      await printDocument(io, flags.output, view);
      return EXIT.ok;
    }
    const line = (key: string, value: string) => `${`${key}:`.padEnd(14)}${printable(value)}`;
    printLines(io, [
      line(view.kind, `${view.name} (version ${view.packVersion}): ${view.title}`),
      line('on', agent),
      line('holds', `${view.holds ? 'yes' : 'no'}: ${view.why ?? ''}`),
      line('settings', settingsText(view) || 'none'),
      line(
        'pack says',
        `${view.packDefault.enabled ? 'enabled' : 'disabled'} ${settingsText(view.packDefault)}`.trimEnd(),
      ),
      ...(view.layers.length === 0
        ? [line('overrides', 'none selects this agent')]
        : ['overrides, the one with the last word first:', ...renderLayers(view.layers)]),
      ...view.requirements.map(({ key, wanted, has, met }) =>
        line(
          'requires',
          `${key}${wanted === '*' ? '' : `=${wanted}`}: ${met ? 'yes' : has === '' ? 'the agent has none' : `the agent has ${has}`}`,
        ),
      ),
      ...view.problems.map((problem) => line('makes no sense', problem)),
    ]);
    return EXIT.ok;
  });
}
