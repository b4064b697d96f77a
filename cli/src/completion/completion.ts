import { EXIT, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { buildProgram } from '../program.ts';
import { printable } from '../render/text.ts';
import { type Candidate, candidatesFor } from './candidates.ts';
import { placeOf, type Wanted } from './place.ts';
import { SCRIPTS } from './scripts.ts';

/** Prints the script that a shell sources. */
export async function completionScript(shell: string, io: Io): Promise<number> {
  const found = Object.entries(SCRIPTS).find(([name]) => name === shell);
  if (found === undefined) {
    throw usageError(
      `there is no completion for «${shell}»`,
      'Choose bash, zsh or fish: `source <(openline completion bash)`.',
    );
  }
  io.out.write(found[1]);
  return EXIT.ok;
}

/**
 * What a shell asks at each Tab: `openline complete -- WORD… CURRENT`. The answer is one line for each word that CURRENT may become, with a
 * tab and its description, and a last line: ":files" when names of files may stand there, else ":done".
 * Never fails and never talks: a prompt is no place for errors.
 */
export async function completeCommand(args: readonly string[], io: Io): Promise<number> {
  const words = args[0] === '--' ? args.slice(1) : [...args];
  const { wanted, before, connection } = placeOf(
    words,
    buildProgram(io, () => {}),
  );
  const candidates = await wordsFor(wanted, () =>
    wanted.kind === 'source' ? candidatesFor(wanted.source, connection, io) : Promise.resolve([]),
  );
  const current = words.at(-1) ?? '';
  for (const { value, description } of candidates) {
    const word = `${before}${value}`;
    // What would not survive the way through a line of text is not offered.
    if (word.startsWith(current) && printable(word) === word) io.out.write(`${word}\t${printable(description)}\n`);
  }
  io.out.write(wanted.kind === 'files' ? ':files\n' : ':done\n');
  return EXIT.ok;
}

async function wordsFor(wanted: Wanted, ask: () => Promise<Candidate[]>): Promise<readonly Candidate[]> {
  if (wanted.kind === 'words') return wanted.words;
  return ask().catch(() => []);
}
