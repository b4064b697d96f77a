import { type Flags, readFlags as readKnown } from '@openline/proto/read-flags';
import { flagOf, KEY_NAMES, KEYS } from './keys.ts';

/**
 * A list whose flag was repeated is one text with commas, as in the environment.
 * @param argv without the program's name
 * @throws OpenlineError CONFIG_INVALID naming the flag, never a value
 */
export function readFlags(argv: readonly string[]): Flags {
  const known = KEY_NAMES.map((key) => ({
    flag: flagOf(key).replace(/^--/, ''),
    key,
    type: key === 'resetAdminToken' ? ('boolean' as const) : ('string' as const),
    multiple: KEYS[key].type.startsWith('list'),
  }));
  const { flags, ...others } = readKnown(argv, known);
  const joined = Object.entries(flags).map(([key, value]) => [key, Array.isArray(value) ? value.join(',') : value]);
  return { ...others, flags: Object.fromEntries(joined) };
}
