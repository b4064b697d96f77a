import { MaintenanceServiceService, type Maintenance as Message } from '@openline/proto/operator-health';
import { parseDuration } from '../args/duration.ts';
import { EXIT, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { printDocument, printItems, printLines } from '../render/document.ts';
import { renderMaintenance, renderMaintenances } from '../render/health.ts';
import { plural } from '../render/text.ts';
import { formatAge } from '../render/time.ts';
import { type MaintenanceView, maintenanceView, suppressedView } from '../views/health.ts';
import { at } from '../views/values.ts';
import { type GlobalFlags, type OutputFlag, withClient } from './context.ts';

export interface StartFlags extends OutputFlag {
  readonly on?: string | undefined;
  readonly agent?: string[] | undefined;
  readonly for?: string | undefined;
  readonly reason?: string | undefined;
  readonly at?: string | undefined;
}

export function startMaintenance(flags: StartFlags, global: GlobalFlags, io: Io): Promise<number> {
  const targets = targetsOf(flags);
  if (flags.for === undefined)
    throw usageError('for how long?', 'Say it: --for 2h. It can be extended, and ended before.');
  const forMs = parseDuration(flags.for, '--for');
  const startsUnixMs = flags.at === undefined ? 0n : BigInt(timeOf(flags.at));
  return withClient(global, io, async (client) => {
    const { maintenance } = await client.unary(MaintenanceServiceService.startMaintenance, {
      targets,
      forMs: BigInt(forMs),
      reason: flags.reason ?? '',
      startsUnixMs,
    });
    return tell(maintenance, flags, io, (view, ends) =>
      view.phase === 'scheduled'
        ? `maintenance ${view.id} begins ${formatAge(at(view.startsAt), io.nowMs())}, and ends ${ends}`
        : `maintenance ${view.id}: ${plural(view.agents, 'agent')}, until ${view.endsAt} (${ends})`,
    );
  });
}

function targetsOf({ on, agent }: StartFlags): string {
  if (on !== undefined && agent !== undefined)
    throw usageError('--on and --agent are two ways to say which agents', 'Give one.');
  if (agent !== undefined) return `name in (${agent.join(',')})`;
  if (on === undefined) throw usageError('which agents?', 'Say it: --on role=web, --agent web-1, or --on all.');
  return on;
}

/** Local time, unless it names its zone. */
function timeOf(text: string): number {
  const ms = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}/.test(text) ? Date.parse(text.replace(' ', 'T')) : Number.NaN;
  if (Number.isNaN(ms))
    throw usageError(
      `--at «${text}» is not a time`,
      'Write 2027-01-05T22:00 (local time), or with a zone: 2027-01-05T22:00Z.',
    );
  return ms;
}

export function endMaintenance(id: string, flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    const { maintenance } = await client.unary(MaintenanceServiceService.endMaintenance, { id });
    return tell(
      maintenance,
      flags,
      io,
      (view) =>
        `maintenance ${view.id} is over; ${plural(view.suppressed, 'alert')} ${view.suppressed === 1 ? 'was' : 'were'} suppressed`,
    );
  });
}

export function extendMaintenance(
  id: string,
  flags: OutputFlag & { readonly for?: string | undefined },
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  if (flags.for === undefined) throw usageError('by how long?', 'Say it: --for 1h.');
  const byMs = BigInt(parseDuration(flags.for, '--for'));
  return withClient(global, io, async (client) => {
    const { maintenance } = await client.unary(MaintenanceServiceService.extendMaintenance, { id, byMs });
    return tell(maintenance, flags, io, (view, ends) => `maintenance ${view.id} ends ${ends}`);
  });
}

async function tell(
  maintenance: Message | undefined,
  flags: OutputFlag,
  io: Io,
  words: (view: MaintenanceView, ends: string) => string,
): Promise<number> {
  if (maintenance === undefined) return EXIT.notAll;
  const view = maintenanceView(maintenance);
  if (flags.output !== 'table') await printDocument(io, flags.output, view);
  else io.out.write(`${words(view, formatAge(at(view.endsAt), io.nowMs()))}\n`);
  return EXIT.ok;
}

export function listMaintenances(
  flags: OutputFlag & { readonly ended?: boolean | undefined; readonly limit: string },
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  const limit = Number(flags.limit);
  if (!Number.isInteger(limit) || limit < 1) throw usageError('--limit is not a whole number above 0');
  return withClient(global, io, async (client) => {
    const found: MaintenanceView[] = [];
    const upcoming: MaintenanceView[] = [];
    let pageToken = '';
    do {
      const request = { includeEnded: flags.ended === true, limit: Math.min(1000, limit - found.length), pageToken };
      const page = await client.unary(MaintenanceServiceService.listMaintenances, request);
      found.push(...page.maintenances.map(maintenanceView));
      upcoming.push(...page.upcoming.map(maintenanceView));
      pageToken = page.nextPageToken;
    } while (pageToken !== '' && found.length < limit);
    // The last to come stands first, as the list is the newest first.
    const all = [...upcoming.toReversed(), ...found];
    if (flags.output !== 'table') await printItems(io, flags.output, all);
    else if (all.length > 0) printLines(io, renderMaintenances(all, io.out.screen(), io.nowMs()));
    else
      io.err.write(
        'no agent is in maintenance, and none will be\n→ `openline maintenance list --ended` shows what was\n',
      );
    return EXIT.ok;
  });
}

export function showMaintenance(id: string, flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    const found = await client.unary(MaintenanceServiceService.getMaintenance, { id });
    if (found.maintenance === undefined) return EXIT.notAll;
    const view = maintenanceView(found.maintenance);
    const alerts = found.alerts.map(suppressedView);
    if (flags.output !== 'table')
      await printDocument(io, flags.output, { ...view, agentNames: found.agentNames, alerts });
    else printLines(io, renderMaintenance(view, found.agentNames, alerts, io.out.screen(), io.nowMs()));
    return EXIT.ok;
  });
}
