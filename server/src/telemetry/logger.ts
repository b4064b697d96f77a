import { OpenlineError } from '@openline/proto/errors';
import { type DestinationStream, type Logger, pino, stdSerializers, stdTimeFunctions } from 'pino';

export type { Logger } from 'pino';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * One JSON object per line: `level` (a word), `time` (ISO 8601, UTC), `msg`, then the fields of the call; errors as `err`.
 * One that has a code was foreseen, so it has no stack: while PostgreSQL is away there is one for every request.
 * @param destination default: standard output, written synchronously, so that the last words before a crash are not lost.
 */
export function createLogger(level: LogLevel, destination?: DestinationStream): Logger {
  const options = {
    level,
    base: null,
    timestamp: stdTimeFunctions.isoTime,
    serializers: { err: serializeError },
    formatters: { level: (label: string) => ({ level: label }) },
  };
  return destination === undefined ? pino(options) : pino(options, destination);
}

function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { stack, ...told } = stdSerializers.err(error);
  return error instanceof OpenlineError && error.code !== 'INTERNAL' ? told : { ...told, stack };
}
