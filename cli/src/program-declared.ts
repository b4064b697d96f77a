import type { Command } from 'commander';
import type { OutputFlag } from './commands/context.ts';
import type { ApplyFlags } from './commands/declared.ts';
import type { Tools } from './program.ts';

/** What is declared in YAML: apply, get, delete. */
export function addDeclared(program: Command, { io, output, flagsOf, collect, run }: Tools): void {
  program
    .command('apply')
    .description('declare channels, subscriptions and other objects from YAML: all of them, or none')
    .option(
      '-f, --filename <file>',
      'a file, a folder of .yaml files, or - for standard input; repeat it for more',
      collect,
    )
    .option('--dry-run', 'check everything and say what would change; change nothing')
    .addOption(output())
    .action(async (flags: ApplyFlags, command: Command) =>
      run((await import('./commands/declared.ts')).applyCommand(flags, flagsOf(command), io)),
    );
  program
    .command('get')
    .description('show what is declared: its kinds, the objects of a kind, or one object as it was written')
    .argument('[kind]', 'e.g. channels; without it the kinds')
    .argument('[name]', 'one object')
    .addOption(output())
    .action(async (kind: string | undefined, name: string | undefined, flags: OutputFlag, command: Command) =>
      run((await import('./commands/declared.ts')).getCommand(kind, name, flags, flagsOf(command), io)),
    );
  program
    .command('delete')
    .description('delete declared objects')
    .argument('<kind>', 'e.g. channels')
    .argument('<name...>', 'their names')
    .action(async (kind: string, names: string[], _flags: object, command: Command) =>
      run((await import('./commands/declared.ts')).deleteCommand(kind, names, flagsOf(command), io)),
    );
}
