import type { Command } from 'commander';
import type { OutputFlag } from './commands/context.ts';
import type { ListNotificationsFlags, RetryFlags } from './commands/notifications.ts';
import type { Tools } from './program.ts';

/** Channels, subscriptions, and what was told to whom. They are declared with `apply`. */
export function addNotifications(program: Command, { io, output, flagsOf, collect, run }: Tools): void {
  const notifications = program.command('notifications').description('notifications: list, show, retry');
  notifications
    .command('list', { isDefault: true })
    .alias('ls')
    .description('list who was told of what, the newest first')
    .option(
      '--state <states>',
      'pending, sent, cancelled, uncertain, or dead: what waits for a person; several joined by commas',
    )
    .option('--channel <channel>', 'only over this channel')
    .option('--subscription <subscription>', 'only because of this subscription')
    .option('--alert <alert>', 'only about the alert with this number')
    .option('-n, --limit <count>', 'at most so many', '50')
    .addOption(output())
    .action(async (flags: ListNotificationsFlags, command: Command) =>
      run((await import('./commands/notifications.ts')).listNotifications(flags, flagsOf(command), io)),
    );
  notifications
    .command('show')
    .description('show a notification: what it tells, what became of it, and what the other side said')
    .argument('<notification>', 'its id')
    .addOption(output())
    .action(async (id: string, flags: OutputFlag, command: Command) =>
      run((await import('./commands/notifications.ts')).showNotification(id, flags, flagsOf(command), io)),
    );
  notifications
    .command('retry')
    .description('send again what was given up, or of what nobody knows whether it was delivered')
    .argument('[notification...]', 'their ids')
    .option('--all', 'everything that is dead or uncertain')
    .option('--channel <channel>', 'with --all: only over this channel')
    .addOption(output())
    .action(async (ids: string[], flags: RetryFlags, command: Command) =>
      run((await import('./commands/notifications.ts')).retryNotifications(ids, flags, flagsOf(command), io)),
    );

  const channels = program.command('channels').description('channels that notifications go over: list, test');
  channels
    .command('list', { isDefault: true })
    .alias('ls')
    .description('list channels, whether they answer, and what waits for them')
    .addOption(output())
    .action(async (flags: OutputFlag, command: Command) =>
      run((await import('./commands/notifications.ts')).listChannels(flags, flagsOf(command), io)),
    );
  channels
    .command('test')
    .description('send a marked test message now, and print what the other side answers')
    .argument('<channel>', 'its name')
    .option('--to <address>', 'a recipient, where the channel sends mails; repeat it for more', collect)
    .addOption(output())
    .action(async (channel: string, flags: OutputFlag & { to?: string[] }, command: Command) =>
      run((await import('./commands/notifications.ts')).testChannel(channel, flags, flagsOf(command), io)),
    );

  program
    .command('subscriptions')
    .description('list who hears of which alerts, and how much there was to hear')
    .addOption(output())
    .action(async (flags: OutputFlag, command: Command) =>
      run((await import('./commands/notifications.ts')).listSubscriptions(flags, flagsOf(command), io)),
    );
}
