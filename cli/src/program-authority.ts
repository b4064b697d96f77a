import type { Command } from 'commander';
import type { RotateFlags } from './commands/authority.ts';
import type { OutputFlag } from './commands/context.ts';
import type { Tools } from './program.ts';

/** The certificate authority. */
export function addAuthority(program: Command, { output, io, flagsOf, run }: Tools): void {
  const ca = program.command('ca').description('the certificate authority: status, bundle, rotate, end');
  ca.command('status', { isDefault: true })
    .description(
      'which authority signs, how long it lives, and while it replaces another: which agents do not hold it yet',
    )
    .addOption(output())
    .action(async (flags: OutputFlag, command: Command) =>
      run((await import('./commands/authority.ts')).authorityStatus(flags, flagsOf(command), io)),
    );
  ca.command('bundle')
    .description('write what a peer must trust to know the server (PEM), for contexts and configurations elsewhere')
    .action(async (_flags: object, command: Command) =>
      run((await import('./commands/authority.ts')).authorityBundle(flagsOf(command), io)),
    );
  ca.command('rotate')
    .description('replace the authority by a new one; both are trusted for a while (caOverlap), and no link is lost')
    .option('--wait', 'until every agent holds the new one; exit code 1 when some do not in time')
    .option('--timeout <time>', 'how long to wait', '10m')
    .addOption(output())
    .action(async (flags: RotateFlags, command: Command) =>
      run((await import('./commands/authority.ts')).rotateAuthority(flags, flagsOf(command), io)),
    );
  ca.command('end')
    .description('end the trust in the authority that was replaced now, before its time')
    .option('--force', 'also when agents do not hold the new one: those must join again')
    .addOption(output())
    .action(async (flags: OutputFlag & { force?: boolean }, command: Command) =>
      run((await import('./commands/authority.ts')).endOverlap(flags, flagsOf(command), io)),
    );
}
