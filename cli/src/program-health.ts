import type { Command } from 'commander';
import type { OutputFlag } from './commands/context.ts';
import type { HealthFlags } from './commands/health.ts';
import type { StartFlags } from './commands/maintenance.ts';
import type { ListMonitorsFlags, ListWatchesFlags } from './commands/watches.ts';
import type { Tools } from './program.ts';

/** Health, rules and monitors, maintenance. */
export function addHealth(program: Command, tools: Tools): void {
  addHealthCommands(program, tools);
  addMonitors(program, tools);
  addRules(program, tools);
  addMaintenance(program, tools);
}

function addHealthCommands(program: Command, { io, output, flagsOf, run }: Tools): void {
  const health = program.command('health').description('health of the fleet, its groups and agents: list, show');
  health
    .command('list', { isDefault: true })
    .alias('ls')
    .description('count the fleet and its groups, and list agents, the worst first: those that are not healthy')
    .argument('[agent]', 'one agent, as `health show`')
    .option('--on <targets>', 'only these agents, e.g. role=web,os=linux')
    .option(
      '--state <states>',
      'healthy, unknown, warning, critical, unreachable, maintenance or all; several joined by commas',
    )
    .option('-n, --limit <count>', 'at most so many agents', '50')
    .option('-w, --watch', 'show it as it changes')
    .addOption(output())
    .action(async (agent: string | undefined, flags: HealthFlags, command: Command) =>
      run((await import('./commands/health.ts')).showHealth(agent, flags, flagsOf(command), io)),
    );
  health
    .command('show')
    .description('show one agent: its line and what was found out, its heartbeat and why, its monitors')
    .argument('<agent>', 'name or id')
    .addOption(output())
    .action(async (name: string, flags: OutputFlag, command: Command) =>
      run((await import('./commands/health.ts')).showAgentHealth(name, flags, flagsOf(command), io)),
    );
}

function addMonitors(program: Command, { io, output, flagsOf, run }: Tools): void {
  const monitors = program.command('monitors').description('states of monitors: list, reset, explain');
  monitors
    .command('list', { isDefault: true })
    .alias('ls')
    .description('list states of monitors, the worst first; of one agent also what does not hold there, and why')
    .argument('[pack[/monitor]]', 'only of this pack, or this monitor')
    .option('--on <agent or targets>', 'of this agent (web-1), or these (role=web)')
    .option('--state <states>', 'healthy, unknown, warning, critical or all; several joined by commas')
    .option('-n, --limit <count>', 'at most so many', '100')
    .option('--available', 'the monitors of the packs instead; with --on, what holds there')
    .addOption(output())
    .action(async (watch: string | undefined, flags: ListMonitorsFlags, command: Command) =>
      run((await import('./commands/watches.ts')).listMonitors(watch, flags, flagsOf(command), io)),
    );
  monitors
    .command('reset')
    .description('say that a monitor is healthy again; it waits for an agent that is away, for at most a day')
    .argument('<pack/monitor>', 'e.g. linux/disk-space')
    .option('--agent <name>', 'on this agent')
    .option('--instance <instance>', 'only this one, e.g. a mount point (default: all that are ill)')
    .addOption(output())
    .action(async (name: string, flags: OutputFlag & { agent?: string; instance?: string }, command: Command) =>
      run((await import('./commands/watches.ts')).resetMonitor(name, flags, flagsOf(command), io)),
    );
  addExplain(monitors, 'monitor', { io, output, flagsOf, run });
}

function addRules(program: Command, { io, output, flagsOf, run }: Tools): void {
  const rules = program.command('rules').description('rules of the packs: list, explain');
  rules
    .command('list', { isDefault: true })
    .alias('ls')
    .description('list the rules of the packs; with --on, what holds on an agent, and why')
    .argument('[pack[/rule]]', 'only of this pack, or this rule')
    .option('--on <agent>', 'as they hold on this agent')
    .addOption(output())
    .action(async (watch: string | undefined, flags: ListWatchesFlags, command: Command) =>
      run((await import('./commands/watches.ts')).listRules(watch, flags, flagsOf(command), io)),
    );
  addExplain(rules, 'rule', { io, output, flagsOf, run });
}

function addExplain(
  parent: Command,
  what: string,
  { io, output, flagsOf, run }: Pick<Tools, 'io' | 'output' | 'flagsOf' | 'run'>,
): void {
  parent
    .command('explain')
    .description(`say what holds of a ${what} on an agent, and why: the pack, each override, what it requires`)
    .argument(`<pack/${what}>`, what === 'rule' ? 'e.g. linux/out-of-memory' : 'e.g. linux/disk-space')
    .option('--agent <name>', 'on this agent')
    .addOption(output())
    .action(async (name: string, flags: OutputFlag & { agent?: string }, command: Command) =>
      run((await import('./commands/watches.ts')).explainWatch(name, flags, flagsOf(command), io)),
    );
}

function addMaintenance(program: Command, { io, output, flagsOf, collect, run }: Tools): void {
  const maintenance = program
    .command('maintenance')
    .description('times in which nobody is told of alerts: list, show, start, extend, end');
  maintenance
    .command('list', { isDefault: true })
    .alias('ls')
    .description('list what lasts and what is to come, also by windows of a calendar, the newest first')
    .option('--ended', 'what is over, too')
    .option('-n, --limit <count>', 'at most so many', '50')
    .addOption(output())
    .action(async (flags: OutputFlag & { ended?: boolean; limit: string }, command: Command) =>
      run((await import('./commands/maintenance.ts')).listMaintenances(flags, flagsOf(command), io)),
    );
  maintenance
    .command('show')
    .description('show one: who began it and why, the agents in it, the alerts that it suppressed')
    .argument('<id>', 'id of the maintenance')
    .addOption(output())
    .action(async (id: string, flags: OutputFlag, command: Command) =>
      run((await import('./commands/maintenance.ts')).showMaintenance(id, flags, flagsOf(command), io)),
    );
  maintenance
    .command('start')
    .description('put agents into maintenance, now or later; again and again: a MaintenanceWindow, by `openline apply`')
    .option('--on <targets>', 'which agents: all, role=web,env!=prod')
    .option('--agent <name>', 'this agent; repeat it for more (instead of --on)', collect)
    .option('--for <time>', 'how long, e.g. 2h')
    .option('--reason <text>', 'why: for those who look at it')
    .option('--at <time>', 'from then on: 2027-01-05T22:00 in local time, or with a zone (default: now)')
    .addOption(output())
    .action(async (flags: StartFlags, command: Command) =>
      run((await import('./commands/maintenance.ts')).startMaintenance(flags, flagsOf(command), io)),
    );
  maintenance
    .command('extend')
    .description('let it last longer')
    .argument('<id>', 'id of the maintenance')
    .option('--for <time>', 'by how much, e.g. 1h')
    .addOption(output())
    .action(async (id: string, flags: OutputFlag & { for?: string }, command: Command) =>
      run((await import('./commands/maintenance.ts')).extendMaintenance(id, flags, flagsOf(command), io)),
    );
  maintenance
    .command('end')
    .description('end it now; alerts that are still open are told of')
    .argument('<id>', 'id of the maintenance')
    .addOption(output())
    .action(async (id: string, flags: OutputFlag, command: Command) =>
      run((await import('./commands/maintenance.ts')).endMaintenance(id, flags, flagsOf(command), io)),
    );
}
