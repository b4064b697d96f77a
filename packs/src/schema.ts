import { didYouMean } from '@openline/proto/suggest';
import { FORMATS } from './formats.ts';
import { entriesOf, itemsOf, oneOf, textOf } from './read.ts';
import { compilePattern, MAX_PATTERN_CHARS, MAX_PATTERN_MAX_LENGTH } from './regex.ts';
import type { Entry, Located, Report } from './source.ts';

/**
 * The part of JSON Schema 2020-12 that a parameter may use. It is closed: a keyword that nobody checks would look like a promise.
 * Every schema has exactly one `type`, so that a command line knows how to read a value.
 */
export const TYPES = ['string', 'integer', 'number', 'boolean', 'array', 'object'] as const;
export type SchemaType = (typeof TYPES)[number];

const MAX_SCHEMA_DEPTH = 5;
const MAX_LENGTH = 4 * 1024 * 1024;

type KeywordCheck = (report: Report, value: Located, keyword: string, schema: SchemaContext) => void;

interface SchemaContext {
  readonly type: SchemaType;
  readonly entries: ReadonlyMap<string, Entry>;
  readonly depth: number;
}

interface Keyword {
  /** Types for which the keyword means something. */
  readonly types: readonly SchemaType[];
  readonly check: KeywordCheck;
}

const anything: KeywordCheck = () => {};
const words: KeywordCheck = (report, value, keyword) => void textOf(report, value, `'${keyword}'`, 2000);
const flag: KeywordCheck = (report, value, keyword) => {
  if (value.kind !== 'scalar' || typeof value.value !== 'boolean')
    report.add(value.at, `'${keyword}' must be true or false`);
};
const count: KeywordCheck = (report, value, keyword) => {
  const n = value.kind === 'scalar' ? value.value : undefined;
  if (typeof n !== 'number' || !Number.isInteger(n) || n < 0 || n > MAX_LENGTH) {
    report.add(value.at, `'${keyword}' must be a whole number from 0 to ${MAX_LENGTH}`);
  }
};
const number: KeywordCheck = (report, value, keyword) => {
  if (value.kind !== 'scalar' || typeof value.value !== 'number' || !Number.isFinite(value.value)) {
    report.add(value.at, `'${keyword}' must be a number`);
  }
};
const positive: KeywordCheck = (report, value, keyword) => {
  const n = value.kind === 'scalar' ? value.value : undefined;
  if (typeof n !== 'number' || !Number.isFinite(n) || n <= 0)
    report.add(value.at, `'${keyword}' must be a number above 0`);
};
const someValues: KeywordCheck = (report, value, keyword) => {
  const items = itemsOf(report, value, `'${keyword}'`);
  if (value.kind === 'list' && items.length === 0) report.add(value.at, `'${keyword}' lists no value`);
};

const KEYWORDS: Readonly<Record<string, Keyword>> = {
  type: { types: TYPES, check: anything },
  title: { types: TYPES, check: words },
  description: { types: TYPES, check: words },
  default: { types: TYPES, check: anything },
  examples: { types: TYPES, check: someValues },
  enum: { types: TYPES, check: someValues },
  const: { types: TYPES, check: anything },
  minLength: { types: ['string'], check: count },
  maxLength: { types: ['string'], check: count },
  pattern: { types: ['string'], check: checkPattern },
  format: { types: ['string'], check: checkFormat },
  minimum: { types: ['integer', 'number'], check: number },
  maximum: { types: ['integer', 'number'], check: number },
  exclusiveMinimum: { types: ['integer', 'number'], check: number },
  exclusiveMaximum: { types: ['integer', 'number'], check: number },
  multipleOf: { types: ['integer', 'number'], check: positive },
  items: {
    types: ['array'],
    check: (report, value, _keyword, schema) => checkSchema(report, value, "'items'", schema.depth + 1),
  },
  minItems: { types: ['array'], check: count },
  maxItems: { types: ['array'], check: count },
  uniqueItems: { types: ['array'], check: checkUniqueItems },
  properties: { types: ['object'], check: checkProperties },
  required: { types: ['object'], check: checkRequired },
  additionalProperties: { types: ['object'], check: flag },
};

/** Words of JSON Schema that people reach for, and what to do instead. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  $ref: 'write the schema out',
  anyOf: 'use one type, and check the rest in the task',
  oneOf: 'use one type, and check the rest in the task',
  allOf: 'write the keywords side by side',
  patternProperties: 'declare the properties, or set additionalProperties: true',
};

/** Reports every fault of one schema. `extra` are keys beside the keywords that the caller has looked at. */
export function checkSchema(
  report: Report,
  node: Located,
  what: string,
  depth = 0,
  extra: readonly string[] = [],
): void {
  const entries = entriesOf(report, node, what);
  if (node.kind !== 'map') return;
  if (depth > MAX_SCHEMA_DEPTH) {
    report.add(node.at, `schemas are nested more than ${MAX_SCHEMA_DEPTH} deep here`);
    return;
  }
  const type = typeOf(report, node, what, entries);
  for (const [keyword, { keyAt, value }] of entries) {
    if (extra.includes(keyword)) continue;
    const known = Object.hasOwn(KEYWORDS, keyword) ? KEYWORDS[keyword] : undefined;
    if (known === undefined) report.add(keyAt, unknownKeyword(keyword, what, extra));
    else if (type !== undefined && !known.types.includes(type)) {
      report.add(keyAt, `'${keyword}' has no meaning for type ${type}; it is for ${known.types.join(' and ')}`);
    } else if (type !== undefined) known.check(report, value, keyword, { type, entries, depth });
  }
  if (type === 'array' && !entries.has('items')) report.add(node.at, `${what} is an array and needs 'items'`);
  for (const [low, high] of RANGES) checkRange(report, entries, low, high);
}

const RANGES = [
  ['minLength', 'maxLength'],
  ['minimum', 'maximum'],
  ['minItems', 'maxItems'],
] as const;

function checkRange(report: Report, entries: ReadonlyMap<string, Entry>, low: string, high: string): void {
  const min = numberAt(entries, low);
  const max = numberAt(entries, high);
  if (min === undefined || max === undefined || min <= max) return;
  report.add(entries.get(low)?.keyAt ?? 0, `'${low}' is larger than '${high}': no value would fit`);
}

function typeOf(
  report: Report,
  node: Located,
  what: string,
  entries: ReadonlyMap<string, Entry>,
): SchemaType | undefined {
  const value = entries.get('type')?.value;
  const name = value?.kind === 'scalar' ? value.value : undefined;
  const type = TYPES.find((known) => known === name);
  if (type !== undefined) return type;
  if (value === undefined) report.add(node.at, `${what} needs a 'type': ${oneOf(TYPES)}`);
  else report.add(value.at, `'type' must be ${oneOf(TYPES)}${didYouMean(String(name), TYPES)}`);
  return undefined;
}

function unknownKeyword(keyword: string, what: string, extra: readonly string[]): string {
  const instead = Object.hasOwn(ELSEWHERE, keyword) ? ELSEWHERE[keyword] : undefined;
  if (instead !== undefined) return `'${keyword}' is not supported in a parameter; ${instead}`;
  return `unknown keyword '${keyword}' in ${what}${didYouMean(keyword, [...Object.keys(KEYWORDS), ...extra])}`;
}

function checkPattern(report: Report, value: Located, _keyword: string, schema: SchemaContext): void {
  const pattern = textOf(report, value, "'pattern'", MAX_PATTERN_CHARS);
  if (pattern === undefined) return;
  try {
    compilePattern(pattern);
  } catch (error) {
    report.add(
      value.at,
      `'pattern' is no regular expression of RE2: ${error instanceof Error ? error.message : error}`,
    );
  }
  const maxLength = numberAt(schema.entries, 'maxLength');
  if (maxLength !== undefined && maxLength > MAX_PATTERN_MAX_LENGTH) {
    report.add(
      schema.entries.get('maxLength')?.value.at ?? value.at,
      `'maxLength' is at most ${MAX_PATTERN_MAX_LENGTH} beside 'pattern'`,
    );
  }
}

function checkFormat(report: Report, value: Located): void {
  const formats = Object.keys(FORMATS);
  const name = value.kind === 'scalar' ? String(value.value) : '';
  if (!formats.includes(name)) report.add(value.at, `'format' must be ${oneOf(formats)}${didYouMean(name, formats)}`);
}

function checkUniqueItems(report: Report, value: Located, keyword: string, schema: SchemaContext): void {
  flag(report, value, keyword, schema);
  const items = schema.entries.get('items')?.value;
  const type = items?.kind === 'map' ? items.entries.get('type')?.value : undefined;
  // Comparing objects with each other takes quadratic time, and the values come from whoever starts the task.
  if (type?.kind === 'scalar' && (type.value === 'object' || type.value === 'array')) {
    report.add(value.at, "'uniqueItems' is only for items that are text, numbers or booleans");
  }
}

function checkProperties(report: Report, value: Located, _keyword: string, schema: SchemaContext): void {
  for (const [name, entry] of entriesOf(report, value, "'properties'")) {
    if (!/^[A-Za-z][A-Za-z0-9_-]{0,62}$/.test(name)) {
      report.add(entry.keyAt, `'${name}' is no name for a property: letters, digits, - and _, beginning with a letter`);
    }
    checkSchema(report, entry.value, `property '${name}'`, schema.depth + 1);
  }
}

function checkRequired(report: Report, value: Located, _keyword: string, schema: SchemaContext): void {
  const properties = schema.entries.get('properties')?.value;
  const declared = properties?.kind === 'map' ? [...properties.entries.keys()] : [];
  for (const item of itemsOf(report, value, "'required'")) {
    const name = item.kind === 'scalar' ? String(item.value) : '';
    if (!declared.includes(name)) {
      report.add(
        item.at,
        `'required' names '${name}', which 'properties' does not declare${didYouMean(name, declared)}`,
      );
    }
  }
}

function numberAt(entries: ReadonlyMap<string, Entry>, keyword: string): number | undefined {
  const value = entries.get(keyword)?.value;
  return value?.kind === 'scalar' && typeof value.value === 'number' ? value.value : undefined;
}
