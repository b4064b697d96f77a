import type { Command } from 'commander';
import { shellQuote } from './quote.ts';

/** What the users of other tools, and of our own words in the singular, call our nouns. */
const NOUNS = new Map<string, string>(
  Object.entries({
    config: 'context',
    contexts: 'context',
    ctx: 'context',
    host: 'agents',
    job: 'runs',
    machine: 'agents',
    node: 'agents',
    task: 'packs',
  }),
);

/** And our verbs: the first that a noun has. `show` is only meant where it is said of what. */
const VERBS = new Map<string, readonly string[]>(
  Object.entries({
    add: ['create', 'set', 'start', 'push'],
    cat: ['output', 'show'],
    delete: ['delete', 'remove', 'revoke'],
    describe: ['show', 'list'],
    get: ['show', 'list'],
    inspect: ['show', 'list'],
    info: ['show', 'list'],
    kill: ['cancel', 'end'],
    list: ['show', 'list'],
    log: ['output'],
    logs: ['output'],
    ls: ['show', 'list'],
    new: ['create', 'set', 'start'],
    remove: ['delete', 'remove', 'revoke'],
    rm: ['delete', 'remove', 'revoke'],
    show: ['show', 'list'],
    stop: ['cancel', 'end'],
  }),
);

/** Commands of other tools that are one of ours. */
const COMMANDS = new Map<string, string>(
  Object.entries({
    exec: 'run PACK/TASK --agent NAME',
    login: 'context set NAME --server HOST:PORT --ca FILE --token -',
    logs: 'runs output RUN',
    ps: 'runs list',
    status: 'health',
    top: 'health',
  }),
);

/** @returns the command whose name it is, in the singular or the plural, or what others call it */
function nounOf(program: Command, word: string): Command | undefined {
  const lower = word.toLowerCase();
  const names = [`${lower}s`, NOUNS.get(lower), NOUNS.get(lower.replace(/s$/, '')), lower];
  // `agent` and `server` are programs, and no nouns.
  const nouns = program.commands.filter((each) => each.name() !== 'agent' && each.name() !== 'server');
  for (const name of names) {
    const found = nouns.find((each) => each.name() === name);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** @param words behind the noun. @returns the command line that was meant, when one is likely */
export function meantOf(noun: Command, [word, ...rest]: readonly string[]): string | undefined {
  if (noun.commands.length === 0 || word === undefined) return `openline ${noun.name()}`;
  const has = (verb: string) => noun.commands.some((each) => each.name() === verb);
  const wanted = VERBS.get(word) ?? [word];
  const verb = wanted.find((each) => has(each) && (each !== 'show' || rest.length > 0 || wanted.length === 1));
  if (verb !== undefined) return ['openline', noun.name(), verb, ...rest.slice(0, 1).map(shellQuote)].join(' ');
  return undefined;
}

/** What was meant by words that are no command: the noun in the singular, the verb before the noun, or another tool's command. */
export function commandMeant(program: Command, words: readonly string[]): string | undefined {
  const [first = '', second = ''] = words;
  const noun = nounOf(program, first);
  if (noun !== undefined) {
    const show = noun.commands.some((each) => each.name() === 'show');
    return meantOf(noun, words.slice(1)) ?? (show ? meantOf(noun, ['show', second]) : undefined);
  }
  const command = COMMANDS.get(first);
  return nounBehind(program, words) ?? (command === undefined ? undefined : `openline ${command}`);
}

/** Declared objects, which `get` and `delete` know, have commands of these names. */
const DECLARED = ['channels', 'subscriptions'];

/** What was meant by a verb before a noun, also where `get` and `delete`, which are for declared objects, are the verb. */
export function nounBehind(program: Command, [verb = '', word = '', ...rest]: readonly string[]): string | undefined {
  const noun = nounOf(program, word);
  if (noun === undefined || (program.commands.some((each) => each.name() === verb) && DECLARED.includes(noun.name())))
    return undefined;
  return meantOf(noun, [verb, ...rest]) ?? `openline ${noun.name()} --help`;
}
