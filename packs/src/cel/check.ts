import type { Environment } from '@marcbachmann/cel-js';
import { didYouMean } from '@openline/proto/suggest';
import type { Settings } from '../monitoring.ts';
import { oneOf } from '../read.ts';
import { createCelBase, VARIABLES, type Variable } from './environment.ts';
import { EventView, TrendView } from './views.ts';

/** What an expression may speak of where it stands. */
export interface Scope {
  readonly variables: readonly Variable[];
  readonly settings: Settings;
  /** Named groups of the patterns beside it: `match.<name>`. */
  readonly groups: readonly string[];
}

/** `text` is what can be written out: text, a number, a boolean, a time. */
export type Wanted = 'bool' | 'number' | 'text' | 'any';

export interface Problem {
  /** Characters from the beginning of the expression. */
  readonly at: number;
  readonly message: string;
}

const WANTED_TYPES: Readonly<Record<Wanted, readonly string[] | undefined>> = {
  bool: ['bool'],
  number: ['int', 'uint', 'double'],
  text: ['string', 'int', 'uint', 'double', 'bool', 'google.protobuf.Timestamp'],
  any: undefined,
};
const WANTED_WORDS: Readonly<Record<Wanted, string>> = {
  bool: 'true or false',
  number: 'a number',
  text: 'text or a number',
  any: 'a value',
};

export const MAX_EXPRESSION_CHARS = 2000;

/** Checks expressions against scopes; holds on to what it made for them, so one for each pack. */
export function createExpressionChecker(): (text: string, scope: Scope, wanted: Wanted) => Problem | undefined {
  const base = createCelBase();
  const environments = new Map<string, Environment>();

  function environmentOf(scope: Scope): Environment {
    const key = JSON.stringify([scope.variables, Object.entries(scope.settings).map(typed), scope.groups]);
    const known = environments.get(key);
    if (known !== undefined) return known;
    const made = declare(base.clone(), scope);
    environments.set(key, made);
    return made;
  }

  return (text, scope, wanted) => {
    if (text.length > MAX_EXPRESSION_CHARS) {
      return {
        at: 0,
        message: `an expression has at most ${MAX_EXPRESSION_CHARS} characters; this one has ${text.length}`,
      };
    }
    const { valid, type, error } = environmentOf(scope).check(text);
    if (!valid) {
      const at = error?.range?.start ?? 0;
      return { at, message: inWords(error?.summary ?? String(error), scope, text.slice(0, at)) };
    }
    if (type === 'dyn' || WANTED_TYPES[wanted]?.includes(type ?? '') !== false) return undefined;
    return { at: 0, message: `this gives ${type}, where ${WANTED_WORDS[wanted]} is needed` };
  };
}

function typed([name, value]: [string, unknown]): [string, string] {
  // Numbers of YAML and literals of CEL mix in every way, so a number's type is left open.
  return [name, typeof value === 'string' ? 'string' : typeof value === 'boolean' ? 'bool' : 'dyn'];
}

function declare(env: Environment, { variables, settings, groups }: Scope): Environment {
  class SettingsView {}
  class MatchView {}
  env.registerType('Settings', { ctor: SettingsView, fields: Object.fromEntries(Object.entries(settings).map(typed)) });
  env.registerType('Match', { ctor: MatchView, fields: Object.fromEntries(groups.map((name) => [name, 'string'])) });
  for (const name of variables) {
    env.registerVariable(name, name === 'settings' ? 'Settings' : name === 'match' ? 'Match' : VARIABLES[name]);
  }
  return env;
}

/** The library's sentences, with what there is instead. */
function inWords(summary: string, scope: Scope, before: string): string {
  const variable = /^Unknown variable: (.*)$/.exec(summary)?.[1];
  if (variable !== undefined) {
    const hint = didYouMean(variable, scope.variables) || `; there is ${oneOf(scope.variables)}`;
    return `there is no '${variable}' here${hint}`;
  }
  const key = /^No such key: (.*)$/.exec(summary)?.[1];
  if (key !== undefined) {
    const of = /(\w+)\s*\.\s*$/.exec(before)?.[1];
    return `there is no field '${key}'${didYouMean(key, fieldsOf(scope, of))}`;
  }
  return summary.charAt(0).toLowerCase() + summary.slice(1);
}

function fieldsOf({ settings, groups }: Scope, variable: string | undefined): readonly string[] {
  switch (variable) {
    case 'event':
      return Object.keys(EventView.fields);
    case 'trend':
      return [...Object.keys(TrendView.fields), 'hours_to'];
    case 'settings':
      return Object.keys(settings);
    case 'match':
      return groups;
    default:
      return [];
  }
}
