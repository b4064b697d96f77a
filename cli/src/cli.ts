import { type Command, CommanderError } from 'commander';
import { closest } from './args/closest.ts';
import { shellQuote } from './args/quote.ts';
import type { Io } from './io.ts';
import { buildProgram } from './program.ts';

const PASSED_ON = ['server', 'agent'] as const;

/** @param argv without node and script. @returns the exit code */
export async function runCli(argv: readonly string[], io: Io): Promise<number> {
  const [first, ...rest] = argv;
  // Commander's own would show `agents` for `help agents show`.
  if (first === 'help') return runCli([...rest, '--help'], io);
  const passOn = PASSED_ON.find((name) => name === first);
  // They take flags alone.
  if (passOn !== undefined && /^[^-]/.test(rest[0] ?? '')) return fail(await noWords(passOn, rest, io), argv, io);
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

async function noWords(program: (typeof PASSED_ON)[number], words: readonly string[], io: Io): Promise<Error> {
  const { commandMeant } = await import('./args/meant.ts');
  const { usageError } = await import('./failure.ts');
  const meant =
    program === 'server'
      ? 'openline doctor'
      : commandMeant(
          buildProgram(io, () => {}),
          ['agents', ...words],
        );
  return usageError(
    `\`openline ${program}\` runs ${program === 'server' ? 'a management server' : 'an agent'}, and knows no '${words[0]}'`,
    `Did you mean \`${meant}\`? What it takes: \`openline ${program} --help\`.`,
  );
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
  const { CliError, EXIT, exitCodeOf, renderFailure, SEE_HELP, usageError, withFlags } = await import('./failure.ts');
  const { OpenlineError } = await import('@openline/proto/errors');
  const { commandMeant, meantOf, nounBehind } = await import('./args/meant.ts');
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
  const program = buildProgram(io, () => {});
  const { command, path, rest } = commandOf(program, argv);
  const group = ['openline', ...path].join(' ');
  if (!(error instanceof CommanderError)) {
    // A noun alone lists.
    const { options } = command.commands.find((each) => each.name() === 'list') ?? command;
    const flags = options.flatMap(({ long }) => long ?? []);
    if (error instanceof OpenlineError && error.code === 'DECLARED_UNKNOWN') {
      const meant = nounBehind(program, [...path, ...rest]);
      if (meant !== undefined) return write(new CliError(error.code, error.message, didYouMean(meant, group)));
    }
    if (error instanceof CliError && error.doNext === SEE_HELP)
      return write(new CliError(error.code, error.message, `See \`${group} --help\`.`, { cause: error }));
    return write(withFlags(error, flags));
  }
  const [word = ''] = rest;
  if (error.code === 'commander.unknownCommand') {
    const meant = commandMeant(program, rest);
    if (meant !== undefined) return write(usageError(`unknown command '${word}'`, didYouMean(meant, group)));
  }
  if (error.code === 'commander.excessArguments' && command.commands.length > 0) {
    // The noun alone lists, so what follows it was taken for an argument of the list.
    const names = command.commands.map((each) => each.name());
    const near = closest(word, names);
    const meant =
      meantOf(command, rest) ??
      (near === undefined && names.includes('show') ? `${group} show ${shellQuote(word)}` : undefined);
    return write(
      usageError(
        `unknown command '${word}'${meant === undefined && near !== undefined ? ` (Did you mean ${near}?)` : ''}`,
        meant === undefined ? `See \`${group} --help\`.` : didYouMean(meant, group),
      ),
    );
  }
  const message = error.message.replace(/^error: /, '').replace(/\n\((.*)\)$/, ' ($1)');
  return write(usageError(message, `See \`${group} --help\`.`));
}

function didYouMean(meant: string, group: string): string {
  return `Did you mean \`${meant}\`? Else see \`${group} --help\`.`;
}

/** As far as the words name commands. */
function commandOf(program: Command, argv: readonly string[]): { command: Command; path: string[]; rest: string[] } {
  const takesValue = new Set(program.options.filter(({ required }) => required).flatMap(({ long }) => long ?? []));
  const words = argv.filter((word, at) => !word.startsWith('-') && !takesValue.has(argv[at - 1] ?? ''));
  let command = program;
  const path: string[] = [];
  for (const word of words) {
    const next = command.commands.find((each) => each.name() === word || each.aliases().includes(word));
    if (next === undefined) break;
    command = next;
    path.push(word);
  }
  return { command, path, rest: words.slice(path.length) };
}
