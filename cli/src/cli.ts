import { type Command, CommanderError } from 'commander';
import { closest } from './args/closest.ts';
import type { Io } from './io.ts';
import { buildProgram } from './program.ts';

const PASSED_ON = ['server', 'agent'] as const;

/** @param argv without node and script. @returns the exit code */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  const [first, ...rest] = argv;
  const passOn = PASSED_ON.find((name) => name === first);
  // Server and agent parse their own flags, and live until a signal ends them.
  if (passOn === 'server') {
    // It replaces the process: before the rest of the server is read, which would be for nothing and take half of its start.
    await import('@openline/server/lean');
    return (await import('@openline/server/main')).main(rest).then(lived);
  }
  if (passOn === 'agent') return (await import('@openline/agent/main')).main(rest).then(lived);
  if (first === 'complete') return (await import('./completion/completion.ts')).completeCommand(rest, io);

  let exitCode = 0;
  const program = buildProgram(io, (code) => {
    exitCode = code;
  });
  configure(program, io);
  try {
    if (argv.length === 0) program.outputHelp();
    else await program.parseAsync([...argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    return fail(error, argv, io);
  }
}

/** They set an exit code of their own when they end badly. */
function lived(): number {
  return typeof process.exitCode === 'number' ? process.exitCode : 0;
}

function configure(command: Command, io: Io): void {
  command.configureOutput({
    writeOut: (text) => io.out.write(text),
    writeErr: (text) => io.err.write(text),
    outputError: () => {}, // `fail` says it in our own form
  });
  for (const child of command.commands) {
    child.exitOverride();
    configure(child, io);
  }
}

async function fail(error: unknown, argv: readonly string[], io: Io): Promise<number> {
  const { EXIT, exitCodeOf, renderFailure, usageError, withFlags } = await import('./failure.ts');
  const write = (shown: unknown) => {
    const verbose = argv.includes('-v') || argv.includes('--verbose');
    io.err.write(
      renderFailure(shown, io.err.screen(), verbose)
        .map((line) => `${line}\n`)
        .join(''),
    );
    return exitCodeOf(shown);
  };
  if (error instanceof CommanderError && error.exitCode === 0) return EXIT.ok; // --help, --version
  // a group without its command: the help has been shown
  if (error instanceof CommanderError && error.code === 'commander.help') return EXIT.badRequest;
  const words = argv.filter((word) => /^[a-z]+$/.test(word)).slice(0, 2);
  const program = buildProgram(io, () => {});
  const known = words.reduce<{ command: typeof program; path: string[] }>(
    ({ command, path }, word) => {
      const next = command.commands.find((each) => each.name() === word || each.aliases().includes(word));
      return next === undefined ? { command, path } : { command: next, path: [...path, word] };
    },
    { command: program, path: [] },
  );
  if (!(error instanceof CommanderError)) {
    // A noun alone lists.
    const { options } = known.command.commands.find((each) => each.name() === 'list') ?? known.command;
    const flags = options.flatMap(({ long }) => long ?? []);
    return write(withFlags(error, flags));
  }
  const group = ['openline', ...known.path].join(' ');
  if (error.code === 'commander.excessArguments' && known.command.commands.length > 0) {
    // The noun alone lists, so what follows it was taken for an argument of the list.
    const [, word = ''] = /got \d+: (.*?)(?:, |\.$)/.exec(error.message) ?? [];
    const names = known.command.commands.map((command) => command.name());
    const meant = closest(word, names);
    const one = names.includes('show') ? `, or to see one: \`${group} show ${word}\`` : '';
    return write(
      usageError(
        `unknown command '${word}'${meant === undefined ? '' : ` (Did you mean ${meant}?)`}`,
        `See \`${group} --help\`${meant === undefined ? one : ''}.`,
      ),
    );
  }
  const message = error.message.replace(/^error: /, '').replace(/\n\((.*)\)$/, ' ($1)');
  return write(usageError(message, `See \`${group} --help\`.`));
}
