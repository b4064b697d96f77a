import { type Command, Option } from 'commander';
import type { ActFlags, ListAlertsFlags } from './commands/alerts.ts';
import type { OutputFlag } from './commands/context.ts';
import type { EventCommandFlags } from './commands/event.ts';
import type { EventFlags } from './commands/events.ts';
import type { Tools } from './program.ts';

/** Alerts, and the events that agents observed. */
export function addAlerts(program: Command, { io, output, flagsOf, run }: Tools): void {
  const comment = () => new Option('-m, --comment <text>', 'what to say in its history');
  const alerts = program.command('alerts').description('alerts: list, show, ack, assign, comment, close');
  alerts
    .command('list', { isDefault: true })
    .alias('ls')
    .description('list alerts, the newest first: those that are open, unless --state says otherwise')
    .option('--state <states>', 'open, new, acknowledged, closed or all; several joined by commas (default: open)')
    .option('--severity <severities>', 'information, warning, critical; several joined by commas')
    .option('--on <targets>', 'only of these agents, e.g. role=web,os=linux')
    .option('--by <pack[/watch]>', 'only what this pack, rule or monitor raised, e.g. linux or linux/disk-space')
    .option('--text <text>', 'only with this in the title, the description, the key or the agent’s name')
    .option('--owner <name>', 'only those that this person has')
    .option('-n, --limit <count>', 'at most so many', '100')
    .option('-w, --watch', 'then show each change as it comes')
    .addOption(output())
    .action(async (flags: ListAlertsFlags, command: Command) =>
      run((await import('./commands/alerts.ts')).listAlerts(flags, flagsOf(command), io)),
    );
  alerts
    .command('show')
    .description('show an alert, its history and the events behind it')
    .argument('<id>', 'number of the alert')
    .addOption(output())
    .action(async (id: string, flags: OutputFlag, command: Command) =>
      run((await import('./commands/alerts.ts')).showAlert(id, flags, flagsOf(command), io)),
    );
  alerts
    .command('ack')
    .description('say that you have seen them: they are yours, unless somebody has them')
    .argument('<id...>', 'numbers of alerts')
    .addOption(comment())
    .addOption(output())
    .action(async (ids: string[], flags: ActFlags, command: Command) =>
      run((await import('./commands/alerts.ts')).acknowledgeAlerts(ids, flags, flagsOf(command), io)),
    );
  alerts
    .command('assign')
    .description('give them to somebody')
    .argument('<id...>', 'numbers of alerts')
    .option('--to <name>', 'who is to have them')
    .option('--nobody', 'take them from whoever has them')
    .addOption(comment())
    .addOption(output())
    .action(async (ids: string[], flags: ActFlags & { to?: string; nobody?: boolean }, command: Command) =>
      run((await import('./commands/alerts.ts')).assignAlerts(ids, flags, flagsOf(command), io)),
    );
  alerts
    .command('comment')
    .description('write into their history')
    .argument('<id...>', 'numbers of alerts')
    .addOption(comment())
    .addOption(output())
    .action(async (ids: string[], flags: ActFlags, command: Command) =>
      run((await import('./commands/alerts.ts')).commentAlerts(ids, flags, flagsOf(command), io)),
    );
  alerts
    .command('close')
    .description('close them; a monitor that is still ill raises no other until it was healthy, or got worse')
    .argument('<id...>', 'numbers of alerts')
    .addOption(comment())
    .addOption(output())
    .action(async (ids: string[], flags: ActFlags, command: Command) =>
      run((await import('./commands/alerts.ts')).closeAlerts(ids, flags, flagsOf(command), io)),
    );

  program
    .command('events')
    .description('show what rules and monitors took of the agents’ logs, and what was lost of them; the newest last')
    .option('--on <targets>', 'only of these agents, e.g. role=web,os=linux')
    .addOption(
      new Option('--level <level>', 'this level or a more serious one').choices([
        'debug',
        'info',
        'warning',
        'error',
        'critical',
      ]),
    )
    .option('--log <log>', 'only of this log: agent, journal, kernel, file:/var/log/…')
    .option('--source <source>', 'only of this program, unit or component')
    .option('--by <pack[/watch]>', 'only what this pack, rule or monitor took')
    .option('--text <text>', 'only with this in the message')
    .option('--since <time>', 'how far back, e.g. 2h, or from when on, e.g. 2026-01-02T03:04')
    .option('-n, --limit <count>', 'the newest so many', '50')
    .option('-f, --follow', 'then show those that come')
    .addOption(output())
    .action(async (flags: EventFlags, command: Command) =>
      run((await import('./commands/events.ts')).listEvents(flags, flagsOf(command), io)),
    );

  program
    .command('event')
    .description('write to the event log of the agent on this machine: one event, or each line of standard input')
    .argument('[message]', 'what happened (default: the lines of standard input, as they come)')
    .option('--source <name>', 'what raises it (default: openline)')
    .option('--id <id>', 'the source’s own name or number for events of this kind')
    .addOption(
      new Option('--level <level>', 'how serious it is (default: info)').choices([
        'debug',
        'info',
        'warning',
        'error',
        'critical',
      ]),
    )
    .option('--data <json>', 'whatever else there is to say, as a JSON object')
    .option('--json', 'each line of standard input is a JSON object: message, level, source, id, data')
    .option(
      '--dir <folder>',
      'where the log is (env: OPENLINE_AGENT_EVENTS_DIRECTORY; default: events in the agent’s data directory)',
    )
    .option('-q, --quiet', 'do not print the id of each event')
    .action(async (message: string | undefined, flags: EventCommandFlags) =>
      run((await import('./commands/event.ts')).eventCommand(message, flags, io)),
    );
}
