import type { Argument, Command, Option } from 'commander';
import type { ConnectionFlags } from '../config/locate.ts';
import type { Candidate, Source } from './candidates.ts';

/** What the word under the cursor may become. */
export type Wanted =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'files' }
  /** Commands, flags, and the words that a flag takes. */
  | { readonly kind: 'words'; readonly words: readonly Candidate[] }
  /** Asked of the server, or read from the config file. */
  | { readonly kind: 'source'; readonly source: Source };

export interface Place {
  readonly wanted: Wanted;
  /** What of the word under the cursor stays as it is: "--on=", or the terms before the last comma. */
  readonly before: string;
  /** Which server the line so far names. */
  readonly connection: ConnectionFlags;
}

type Kind = Exclude<Source['kind'], 'parameters' | 'declared'>;

const BY_OPTION: Readonly<Record<string, Kind>> = {
  '--on': 'targets',
  '--selector': 'targets',
  '--target': 'agents',
  '--agent': 'agents',
  '--context': 'contexts',
  '--task': 'tasks',
  '--by': 'watches',
  '--channel': 'channels',
  '--subscription': 'subscriptions',
  '--alert': 'alerts',
};

/** Of flags that take several words, joined by commas; by the command's path. */
const SEVERAL: Readonly<Record<string, readonly string[]>> = {
  'alerts list --state': ['open', 'new', 'acknowledged', 'closed', 'all'],
  'alerts list --severity': ['information', 'warning', 'critical'],
  'notifications list --state': ['pending', 'sent', 'cancelled', 'uncertain', 'dead'],
  'health list --state': ['healthy', 'unknown', 'warning', 'critical', 'unreachable', 'maintenance', 'all'],
  'monitors list --state': ['healthy', 'unknown', 'warning', 'critical', 'all'],
};

/** By the command's path; `packs push` and the like take files, which their arguments say. */
const BY_COMMAND: Readonly<Record<string, Kind>> = {
  run: 'tasks',
  'runs show': 'runs',
  'runs watch': 'runs',
  'runs output': 'runs',
  'runs cancel': 'runs',
  'runs retry': 'runs',
  'agents show': 'agents',
  'agents revoke': 'agents',
  'agents delete': 'agents',
  trace: 'agents',
  'packs show': 'tasks',
  'packs pull': 'packs',
  'packs remove': 'packs',
  'context use': 'contexts',
  'context set': 'contexts',
  'context delete': 'contexts',
  completion: 'shells',
  'channels test': 'channels',
  'health list': 'agents',
  'health show': 'agents',
  'monitors list': 'watches',
  'monitors reset': 'watches',
  'monitors explain': 'watches',
  'rules list': 'watches',
  'rules explain': 'watches',
  'maintenance show': 'maintenances',
  'maintenance extend': 'maintenances',
  'maintenance end': 'maintenances',
  'alerts show': 'alerts',
  'alerts ack': 'alerts',
  'alerts assign': 'alerts',
  'alerts comment': 'alerts',
  'alerts close': 'alerts',
  'notifications show': 'notifications',
  'notifications retry': 'notifications',
  get: 'kinds',
  delete: 'kinds',
};

const CONNECTION = ['server', 'token', 'ca', 'context'] as const;

/** @param words of the line after `openline`, the last one up to the cursor. Pure. */
export function placeOf(words: readonly string[], program: Command): Place {
  const current = words.at(-1) ?? '';
  let command = program;
  const path: string[] = [];
  const given: string[] = [];
  const connection: { -readonly [Key in keyof ConnectionFlags]: ConnectionFlags[Key] } = {};
  let open: Option | undefined;
  let onlyArguments = false;
  const note = (option: Option, value: string) => {
    const name = CONNECTION.find((each) => option.long === `--${each}`);
    if (name !== undefined) connection[name] = value;
  };
  for (const word of words.slice(0, -1)) {
    if (open !== undefined) {
      note(open, word);
      open = undefined;
    } else if (onlyArguments || !isFlag(word)) {
      const child = given.length === 0 ? childOf(command, word) : undefined;
      if (child === undefined) given.push(word);
      else {
        command = child;
        path.push(child.name());
      }
    } else if (word === '--') onlyArguments = true;
    else {
      const [flag = '', value] = split(word);
      const option = optionsOf(command).find((each) => each.long === flag || each.short === flag);
      if (option !== undefined && value !== undefined) note(option, value);
      else if (option !== undefined && takesValue(option)) open = option;
    }
  }
  const at = (wanted: Wanted, before = ''): Place => ({ wanted, before, connection });
  const fallback = given.length === 0 ? defaultOf(command) : undefined;
  const name = [...path, ...(fallback === undefined ? [] : [fallback.name()])].join(' ');
  if (open !== undefined) return flagValue(open, current, '', name, given, at);
  if (!onlyArguments && current.startsWith('-')) {
    const [flag = '', value] = split(current);
    if (value === undefined) return at({ kind: 'words', words: flagsOf(command) });
    const option = optionsOf(command).find((each) => each.long === flag);
    return option === undefined ? at({ kind: 'nothing' }) : flagValue(option, value, `${flag}=`, name, given, at);
  }
  if (command.commands.length > 0 && given.length === 0) {
    const words = command.commands.map((each) => ({ value: each.name(), description: each.description() }));
    return at({ kind: 'words', words });
  }
  return at(argumentOf(command, path.join(' '), given));
}

function isFlag(word: string): boolean {
  return word.startsWith('-') && word !== '-';
}

/** "--on=all" into its two parts. */
function split(word: string): [string, string?] {
  const equals = word.startsWith('--') ? word.indexOf('=') : -1;
  return equals < 0 ? [word] : [word.slice(0, equals), word.slice(equals + 1)];
}

function childOf(command: Command, word: string): Command | undefined {
  return command.commands.find((each) => each.name() === word || each.aliases().includes(word));
}

/** What a group does when no command of it is named: `alerts --watch` is `alerts list --watch`. */
function defaultOf(command: Command): Command | undefined {
  if (command.parent === null) return undefined;
  return command.commands.find((each) => each.name() === 'list' || each.name() === 'status');
}

/** Its own, those of what it does by itself, and those of every command, which may stand anywhere. */
function optionsOf(command: Command): Option[] {
  const above: Option[] = [];
  for (let each = command.parent; each !== null; each = each.parent) above.push(...each.options);
  return [...command.options, ...(defaultOf(command)?.options ?? []), ...above];
}

function takesValue(option: Option): boolean {
  return option.required || option.optional;
}

function flagsOf(command: Command): Candidate[] {
  // They have flags of their own, which stand in their help.
  if (passedOn(command)) return [{ value: '--help', description: 'show help' }];
  return optionsOf(command).flatMap(({ long, description }) => (long ? [{ value: long, description }] : []));
}

function passedOn(command: Command): boolean {
  return command.parent?.parent === null && ['server', 'agent'].includes(command.name());
}

function flagValue(
  option: Option,
  value: string,
  before: string,
  path: string,
  given: readonly string[],
  at: (wanted: Wanted, before: string) => Place,
): Place {
  if (option.argChoices !== undefined) {
    return at({ kind: 'words', words: option.argChoices.map((each) => ({ value: each, description: '' })) }, before);
  }
  const several = SEVERAL[`${path} ${option.long}`];
  if (several !== undefined) {
    const earlier = value.slice(0, value.lastIndexOf(',') + 1);
    const left = several.filter((word) => !earlier.split(',').includes(word));
    return at({ kind: 'words', words: left.map((word) => ({ value: word, description: '' })) }, before + earlier);
  }
  const kind = BY_OPTION[option.long ?? ''];
  if (kind === 'targets') return at({ kind: 'source', source: { kind } }, before + earlierTerms(value));
  if (kind !== undefined) return at({ kind: 'source', source: { kind } }, before);
  const [, placeholder = ''] = /[<[](.+?)[>\]]/.exec(option.flags) ?? [];
  if (/^name=/.test(placeholder)) {
    const equals = value.indexOf('=');
    if (equals < 0) return at({ kind: 'source', source: { kind: 'parameters', task: given[0] ?? '' } }, before);
    if (placeholder === 'name=property')
      return at({ kind: 'source', source: { kind: 'properties' } }, before + value.slice(0, equals + 1));
    if (placeholder === 'name=path') return at({ kind: 'files' }, before + value.slice(0, equals + 1));
  }
  return at({ kind: isFile(placeholder) ? 'files' : 'nothing' }, before);
}

function argumentOf(command: Command, path: string, given: readonly string[]): Wanted {
  const argument: Argument | undefined =
    command.registeredArguments[given.length] ?? command.registeredArguments.findLast(({ variadic }) => variadic);
  if (passedOn(command)) return { kind: 'files' };
  if (argument === undefined) return { kind: 'nothing' };
  if (isFile(argument.name())) return { kind: 'files' };
  const kind = BY_COMMAND[path];
  if (kind === 'kinds' && given[0] !== undefined) return { kind: 'source', source: { kind: 'declared', of: given[0] } };
  return kind === undefined ? { kind: 'nothing' } : { kind: 'source', source: { kind } };
}

function isFile(placeholder: string): boolean {
  return /\b(?:files?|folder)\b/.test(placeholder);
}

/** "role=web," of "role=web,na": terms are joined by commas. Commas in parentheses join values. */
function earlierTerms(value: string): string {
  const comma = value.lastIndexOf(',');
  return value.lastIndexOf('(') > value.lastIndexOf(')') ? value : value.slice(0, comma + 1);
}
