import { RootCommand, script, type Command as TabCommand } from '@bomb.sh/tab';
import type { Command as CommanderCommand, Option } from 'commander';
import { EXIT, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { buildProgram } from '../program.ts';
import { type Candidate, candidatesFor, wantedSource } from './candidates.ts';

/** Prints the script that a shell sources. */
export async function completionScript(shell: string, io: Io): Promise<number> {
  if (!['bash', 'zsh', 'fish', 'powershell'].includes(shell)) {
    throw usageError(
      `there is no completion for «${shell}»`,
      'Choose bash, zsh or fish: `source <(openline completion bash)`.',
    );
  }
  captured(io, () => script(shell, 'openline', 'openline'));
  return EXIT.ok;
}

/** What the shell asks at each Tab: `openline complete -- WORD… ""`. Never fails and never talks: a prompt is no place for errors. */
export async function completeCommand(args: readonly string[], io: Io): Promise<number> {
  const words = args[0] === '--' ? args.slice(1) : [...args];
  const source = wantedSource(words);
  const candidates = source === undefined ? [] : await candidatesFor(source, io).catch(() => []);
  const current = words.at(-1) ?? '';
  // The library takes every «=» for --flag=value.
  if (source !== undefined && current.includes('=') && !current.startsWith('-')) {
    for (const { value, description } of candidates)
      if (value.startsWith(current)) io.out.write(`${value}\t${description}\n`);
    io.out.write(':4\n');
    return EXIT.ok;
  }
  const root = completionTree(
    buildProgram(io, () => {}),
    candidates,
  );
  captured(io, () => root.parse([...words]));
  return EXIT.ok;
}

/** The library writes by console.log. */
function captured(io: Io, work: () => void): void {
  const log = console.log;
  console.log = (...parts: unknown[]) => io.out.write(`${parts.join(' ')}\n`);
  try {
    work();
  } finally {
    console.log = log;
  }
}

/** Only one place is completed at a time, so every place that asks the server offers the same candidates. */
function completionTree(program: CommanderCommand, candidates: readonly Candidate[]): RootCommand {
  const root = new RootCommand();
  const offer = (complete: (value: string, description: string) => void) => {
    for (const { value, description } of candidates) complete(value, description);
  };
  const describe = (target: TabCommand, command: CommanderCommand, inherited: readonly Option[]) => {
    for (const option of [...inherited, ...command.options]) {
      const long = option.long?.slice(2);
      if (long === undefined) continue;
      const short = option.short?.slice(1);
      if (!option.required && !option.optional) {
        if (short === undefined) target.option(long, option.description);
        else target.option(long, option.description, short);
        continue;
      }
      const choices = option.argChoices;
      const handler =
        choices === undefined
          ? offer
          : (complete: (value: string, description: string) => void) =>
              choices.forEach((each) => void complete(each, ''));
      target.option(long, option.description, handler, short);
    }
    for (const argument of command.registeredArguments) target.argument(argument.name(), offer, argument.variadic);
  };
  const walk = (command: CommanderCommand, path: readonly string[]) => {
    for (const child of command.commands) {
      const words = [...path, child.name()];
      describe(root.command(words.join(' '), child.description()), child, program.options);
      walk(child, words);
    }
  };
  describe(root, program, []);
  walk(program, []);
  return root;
}
