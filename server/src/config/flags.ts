import { parseArgs } from 'node:util';
import { didYouMean } from '@openline/packs/suggest';
import { OpenlineError } from '@openline/proto/errors';
import { flagOf, KEY_NAMES, KEYS } from './keys.ts';

export interface Flags {
  readonly help: boolean;
  readonly file: string | undefined;
  /** By key, text as typed. A list whose flag was repeated is one text with commas. */
  readonly flags: Readonly<Record<string, unknown>>;
}

/**
 * @param argv without the program's name
 * @throws OpenlineError CONFIG_INVALID naming the flag, never a value
 */
export function readFlags(argv: readonly string[]): Flags {
  const names = new Map(KEY_NAMES.map((key) => [flagOf(key).replace(/^--/, ''), key]));
  const options = Object.fromEntries(
    [...names].map(([flag, key]) => [
      flag,
      key === 'resetAdminToken'
        ? { type: 'boolean' as const }
        : { type: 'string' as const, multiple: KEYS[key].type.startsWith('list') },
    ]),
  );
  try {
    const { values } = parseArgs({
      args: [...argv],
      options: { ...options, config: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
    });
    const { config: file, help, ...given } = values;
    const flags = Object.fromEntries(
      Object.entries(given).map(([flag, value]) => [
        names.get(flag) ?? flag,
        Array.isArray(value) ? value.join(',') : value,
      ]),
    );
    return { help: help === true, file: typeof file === 'string' ? file : undefined, flags };
  } catch (error) {
    // Node's message names the option, never a value.
    const message = error instanceof Error ? error.message : String(error);
    const [, unknown] = /^Unknown option '--([^']+)'/.exec(message) ?? [];
    throw new OpenlineError(
      'CONFIG_INVALID',
      unknown === undefined
        ? message
        : `there is no flag --${unknown}${didYouMean(unknown, [...names.keys()]).replace("'", "'--")}`,
    );
  }
}
