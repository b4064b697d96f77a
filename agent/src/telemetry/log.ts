import { rfc3339 } from './rfc3339.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** One JSON object per line. Never parameter values, output, tokens or keys. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/**
 * A logger of forty lines instead of a library of megabytes: an agent has a memory budget and little to say.
 * @param write takes one complete line
 */
export function createLog(level: LogLevel, write: (line: string) => void, unixMs: () => number = Date.now): Log {
  const least = LEVELS.indexOf(level);
  const at = (name: LogLevel) => {
    if (LEVELS.indexOf(name) < least) return () => undefined;
    return (fields: object, message: string) => {
      const line = { time: rfc3339(unixMs()), level: name, msg: message, ...fields };
      write(`${JSON.stringify(line, plain)}\n`);
    };
  };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

export const silentLog: Log = createLog('error', () => undefined);

/** Errors have no enumerable properties, and JSON knows no bigint. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (!(value instanceof Error)) return value;
  const code = 'code' in value ? { code: value.code } : {};
  return { ...code, message: value.message, stack: value.stack, ...(value.cause ? { cause: value.cause } : {}) };
}
