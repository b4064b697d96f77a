import { OpenlineError } from '@openline/proto/errors';
import type { Runner } from './pack.ts';

/** Larger values go into a file. Linux refuses a `NAME=value` of 128 KiB or more, and the name counts too. */
export const MAX_ENV_ENTRY_BYTES = 100 * 1024;
/** MAX_ARG_STRLEN of Linux, less the terminating zero. */
export const MAX_ARGUMENT_BYTES = 128 * 1024 - 1;
/** All values in the environment, and all of argv, together: half each of the 2 MiB that Linux gives with its default stack. */
export const MAX_TOTAL_BYTES = 896 * 1024;

export interface ParameterEnvironment {
  /** OPENLINE_PARAM_<NAME> → value. An absent parameter has no variable. */
  readonly env: Readonly<Record<string, string>>;
  /** Values too large for the environment. The caller writes each to a file (mode 0600) and sets `variable` to its absolute path. */
  readonly files: readonly { readonly variable: string; readonly content: string }[];
}

/** "max-depth" → "OPENLINE_PARAM_MAX_DEPTH" */
export function variableOf(parameterName: string): string {
  return `OPENLINE_PARAM_${parameterName.toUpperCase().replaceAll('-', '_')}`;
}

/** "body" → "OPENLINE_PARAM_BODY_FILE", set instead of the other when the value is too large for the environment. */
export function fileVariableOf(parameterName: string): string {
  return `${variableOf(parameterName)}_FILE`;
}

/**
 * How validated parameters reach a process: strings as they are, everything else as JSON.
 * @throws OpenlineError ARGUMENT_TOO_LONG all values together exceed what the system gives a process
 */
export function parameterEnvironment(values: Readonly<Record<string, unknown>>): ParameterEnvironment {
  const env: Record<string, string> = {};
  const files: { variable: string; content: string }[] = [];
  let totalBytes = 0;
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const text = textOf(value);
    const entryBytes = variableOf(name).length + 1 + Buffer.byteLength(text);
    if (entryBytes > MAX_ENV_ENTRY_BYTES) {
      files.push({ variable: fileVariableOf(name), content: text });
      continue;
    }
    env[variableOf(name)] = text;
    totalBytes += entryBytes;
  }
  if (totalBytes > MAX_TOTAL_BYTES) {
    throw new OpenlineError(
      'ARGUMENT_TOO_LONG',
      `the parameters together are ${totalBytes} bytes; a process can be given ${MAX_TOTAL_BYTES} in its environment`,
    );
  }
  return { env, files };
}

/**
 * argv of a command, the program first. Each parameter is one element, each item of an array one element of its own; an absent parameter is left out.
 * @throws OpenlineError ARGUMENT_TOO_LONG
 */
export function buildArgv(
  runner: Extract<Runner, { kind: 'command' }>,
  values: Readonly<Record<string, unknown>>,
): string[] {
  const argv = [runner.program];
  for (const argument of runner.args) {
    switch (argument.kind) {
      case 'literal':
        argv.push(argument.text);
        break;
      case 'parameter':
        argv.push(...elementsOf(argument.name, values));
        break;
      default:
        argument satisfies never;
    }
  }
  const totalBytes = argv.reduce((sum, element) => sum + Buffer.byteLength(element) + 1, 0);
  if (totalBytes > MAX_TOTAL_BYTES) {
    throw new OpenlineError(
      'ARGUMENT_TOO_LONG',
      `the arguments together are ${totalBytes} bytes; a process can be given ${MAX_TOTAL_BYTES}`,
    );
  }
  return argv;
}

function elementsOf(name: string, values: Readonly<Record<string, unknown>>): string[] {
  const value = Object.hasOwn(values, name) ? values[name] : undefined;
  if (value === undefined) return [];
  const elements = Array.isArray(value) ? value.map(textOf) : [textOf(value)];
  for (const element of elements) {
    const bytes = Buffer.byteLength(element);
    if (bytes <= MAX_ARGUMENT_BYTES) continue;
    throw new OpenlineError(
      'ARGUMENT_TOO_LONG',
      `parameter '${name}' is ${bytes} bytes; an argument of a program can be ${MAX_ARGUMENT_BYTES}`,
    );
  }
  return elements;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
