import type { NodeEvent } from '@openline/packs';
import { levelOfSeverity } from '../levels.ts';
import { boundedEvent } from '../read/bounds.ts';

/** A record of /dev/kmsg. @see Linux Documentation/ABI/testing/dev-kmsg */
export interface KernelRecord {
  /** Rising by one; what is missing was overwritten. */
  readonly seq: number;
  readonly event: NodeEvent;
}

/** `priority,sequence,microseconds,flags[,more];message`, then ` KEY=value` lines. */
const RECORD = /^(\d+),(\d+),(\d+),[^;]*;([^\n]*)\n?([\s\S]*)$/;
/** Programs that write to the kernel's log name themselves as in syslog. */
const TAG = /^([^\s:[\]]{1,64})(?:\[(\d{1,10})\])?: /;

/**
 * @param bootUnixMs when the clock of the records began
 * @returns undefined: this is none
 */
export function parseKernelRecord(text: string, bootUnixMs: number): KernelRecord | undefined {
  const match = RECORD.exec(text);
  if (!match) return undefined;
  const [, priority, seq, microseconds, escaped = '', dictionary = ''] = match;
  const facility = Number(priority) >> 3;
  const whole = unescaped(escaped);
  const tag = facility === 0 ? undefined : TAG.exec(whole);
  const message = tag ? whole.slice(tag[0].length) : whole;
  const event = {
    log: 'kernel',
    source: tag?.[1] ?? 'kernel',
    id: '',
    level: levelOfSeverity(Number(priority) & 7),
    atUnixMs: Math.round(bootUnixMs + Number(microseconds) / 1000),
    message,
    data: {
      seq: Number(seq),
      ...(facility === 0 ? {} : { facility }),
      ...(tag?.[2] === undefined ? {} : { pid: Number(tag[2]) }),
      ...valuesOf(dictionary),
    },
  };
  return { seq: Number(seq), event: boundedEvent(event) };
}

/** As SUBSYSTEM=pci, DEVICE=+pci:0000:00:1f.2. */
function valuesOf(dictionary: string): Record<string, string> {
  const pairs = dictionary.split('\n').map((line) => /^ ([A-Z_]{1,32})=(.*)$/.exec(line));
  return Object.fromEntries(
    pairs.flatMap((pair) => (pair ? [[(pair[1] ?? '').toLowerCase(), unescaped(pair[2] ?? '')]] : [])),
  );
}

/** Bytes that are not printable ASCII come as \xHH; together they are UTF-8. */
function unescaped(text: string): string {
  if (!text.includes('\\x')) return text;
  return text.replace(/(?:\\x[0-9a-f]{2})+/g, (bytes) =>
    Buffer.from(bytes.replaceAll('\\x', ''), 'hex').toString('utf8'),
  );
}
