import { didYouMean } from '@openline/proto/suggest';
import type { Pack } from '../pack.ts';
import { fieldsOf, itemsOf, textOf } from '../read.ts';
import { compilePattern } from '../regex.ts';
import { type Located, plain, type Report } from '../source.ts';
import type { CaseExpectation } from './case.ts';
import { patternOf } from './compare.ts';

interface Reader {
  readonly report: Report;
  readonly pack: Pack;
}

/** The name of a rule or monitor that the pack has. */
export function readWatch(
  { report, pack }: Reader,
  node: Located | undefined,
  what: string,
  known: readonly string[],
): string {
  const name = textOf(report, node, what, 63) ?? '';
  if (node !== undefined && name !== '' && !known.includes(name)) {
    report.add(node.at, `pack ${pack.name} has no '${name}'${didYouMean(name, known)}`);
  }
  return name;
}

const DETECTION = ['rule', 'key', 'events', 'count', 'alert', 'run'] as const;
const STATE = [
  'monitor',
  'instance',
  'from',
  'to',
  'reason',
  'sample',
  'events',
  'alert',
  'diagnostic',
  'recoveries',
] as const;

/** What a step says must have come. */
export function readExpectation(reader: Reader, node: Located | undefined): CaseExpectation | undefined {
  if (node === undefined) return undefined;
  const { report, pack } = reader;
  if (node.kind === 'scalar' && node.value === 'nothing') return { detections: [], states: [], metrics: [] };
  const fields = fieldsOf(report, node, "'expect' (or the word nothing)", ['detections', 'states', 'metrics']);
  if (node.kind === 'map' && node.entries.size === 0) {
    report.add(node.at, "'expect' says nothing; the word nothing stands for: nothing must come");
  }
  const list = (name: 'detections' | 'states' | 'metrics', known: readonly string[]) => {
    const value = fields[name]?.value;
    if (value === undefined) return undefined;
    return itemsOf(report, value, `'${name}'`).map((item) => {
      fieldsOf(report, item, `one of '${name}'`, known);
      checkPatterns(report, item);
      return plain(item);
    });
  };
  for (const item of itemsOf(report, fields.detections?.value, "'detections'")) {
    readWatch(reader, fieldIn(item, 'rule'), "'rule'", [...pack.rules.keys()]);
  }
  for (const item of itemsOf(report, fields.states?.value, "'states'")) {
    readWatch(reader, fieldIn(item, 'monitor'), "'monitor'", [...pack.monitors.keys()]);
  }
  return {
    detections: list('detections', DETECTION),
    states: list('states', STATE),
    metrics: list('metrics', ['metric', 'count']),
  };
}

function fieldIn(node: Located, name: string): Located | undefined {
  return node.kind === 'map' ? node.entries.get(name)?.value : undefined;
}

/** A text between slashes is a pattern, and must be one. */
function checkPatterns(report: Report, node: Located): void {
  if (node.kind === 'list') for (const item of node.items) checkPatterns(report, item);
  else if (node.kind === 'map') for (const { value } of node.entries.values()) checkPatterns(report, value);
  else {
    const pattern = typeof node.value === 'string' ? patternOf(node.value) : undefined;
    if (pattern === undefined) return;
    try {
      compilePattern(pattern);
    } catch (error) {
      report.add(
        node.at,
        `between slashes stands no regular expression of RE2: ${error instanceof Error ? error.message : error}`,
      );
    }
  }
}
