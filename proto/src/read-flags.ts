import { parseArgs } from 'node:util';
import { OpenlineError } from './errors.ts';
import { didYouMean } from './suggest.ts';

/** A flag that sets a key of the configuration. */
export interface Flag {
  /** Without the dashes. */
  readonly flag: string;
  readonly key: string;
  readonly type: 'string' | 'boolean';
  /** It may be repeated. */
  readonly multiple: boolean;
}

export interface Flags {
  readonly help: boolean;
  /** What --config names. */
  readonly file: string | undefined;
  /** By key, as typed; of a flag that may be repeated each value. */
  readonly flags: Readonly<Record<string, unknown>>;
}

/**
 * What a server or an agent was started with: its own flags, `--config FILE` and `--help`.
 * @param argv without the program's name
 * @throws OpenlineError CONFIG_INVALID naming the flag, never a value
 */
export function readFlags(argv: readonly string[], known: readonly Flag[]): Flags {
  const options = Object.fromEntries(known.map(({ flag, type, multiple }) => [flag, { type, multiple }]));
  const keys = new Map(known.map(({ flag, key }) => [flag, key]));
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { ...options, config: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    });
    const { config: file, help, ...given } = values;
    const flags = Object.fromEntries(Object.entries(given).map(([flag, value]) => [keys.get(flag) ?? flag, value]));
    return { help: help === true, file: typeof file === 'string' ? file : undefined, flags };
  } catch (error) {
    // Node's message names the option, never a value.
    const message = error instanceof Error ? error.message : String(error);
    const [, unknown] = /^Unknown option '--([^']+)'/.exec(message) ?? [];
    if (unknown === undefined) throw new OpenlineError('CONFIG_INVALID', message);
    const meant = didYouMean(unknown, [...keys.keys()]).replace("'", "'--");
    throw new OpenlineError('CONFIG_INVALID', `there is no flag --${unknown}${meant}`);
  }
}
