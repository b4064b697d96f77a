import { readdirSync, readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { PackError } from './errors.ts';
import { parsePack } from './parse.ts';

const schemaUrl = new URL('../schema/pack.schema.json', import.meta.url);
const valid = new Ajv2020({ strict: false }).compile(JSON.parse(readFileSync(schemaUrl, 'utf8')));

function parses(text: string): boolean {
  try {
    parsePack(Buffer.from(text), 'pack.yaml');
    return true;
  } catch (error) {
    if (error instanceof PackError) return false;
    throw error;
  }
}

/** A pack whose one task has these lines, each indented as they are below `t:`. */
function withTask(lines: string): string {
  return `apiVersion: openline.dev/v1
kind: Pack
metadata: {name: p, version: 1.0.0, title: P}
tasks:
  t:
    title: T
    ${lines.trim().replaceAll('\n', '\n    ')}
`;
}

const parameter = (schema: string) => withTask(`parameters: {p: ${schema}}\nrun: {builtin: ping}`);
const run = (text: string) => withTask(`parameters: {p: {type: string}}\nrun: ${text}`);
const minimal = run('{builtin: ping}');

const GOOD = {
  'a minimal pack': minimal,
  'every field of a task': withTask(`
description: D
risk: dangerous
timeout: 24h
successCodes: [0, 3]
requires: {os: linux, interpreter.bash: '*'}
parameters:
  s: {type: string, minLength: 1, maxLength: 9, pattern: '^a', default: abc, examples: [ab], description: d, title: t}
  i: {type: integer, minimum: 1, maximum: 9, optional: true}
  n: {type: number, exclusiveMinimum: 0, exclusiveMaximum: 1, multipleOf: 0.5, optional: true}
  b: {type: boolean, const: true, optional: true}
  a: {type: array, items: {type: string, format: host}, minItems: 1, maxItems: 3, uniqueItems: true, optional: true}
  o: {type: object, properties: {x: {type: integer}}, required: [x], additionalProperties: false, optional: true}
run: {command: [cat, '', '-n', {param: s}, {param: a}]}
examples: [{title: E, parameters: {s: abc, i: 3, a: [localhost], o: {x: 1}}}]`),
  'a script': run('{script: {interpreter: python3, source: "print(1)"}}'),
  'a prerelease': minimal.replace('1.0.0', '1.0.0-rc.1+build.7'),
};

const BAD = {
  'no apiVersion': minimal.replace(/^apiVersion.*\n/, ''),
  'another apiVersion': minimal.replace('/v1', '/v2'),
  'another kind': minimal.replace('kind: Pack', 'kind: Bundle'),
  'an unknown field at the top': `${minimal}extra: 1\n`,
  'no name': minimal.replace('name: p, ', ''),
  'a name with capitals': minimal.replace('name: p', 'name: Pack'),
  'a name that ends with a dash': minimal.replace('name: p', 'name: p-'),
  'a version of two numbers': minimal.replace('1.0.0', "'1.0'"),
  'no title': minimal.replace(', title: P', ''),
  'an empty title': minimal.replace('title: P', "title: ' '"),
  'no tasks': minimal.replace(/tasks:[\s\S]*/, 'tasks: {}\n'),
  'a task name with an underscore': minimal.replace('  t:', '  t_t:'),
  'no run': withTask('risk: read'),
  'an unknown field of a task': withTask('timout: 3s\nrun: {builtin: ping}'),
  'an unknown risk': withTask('risk: high\nrun: {builtin: ping}'),
  'a time without a unit': withTask("timeout: '30'\nrun: {builtin: ping}"),
  'no success code': withTask('successCodes: []\nrun: {builtin: ping}'),
  'an impossible exit code': withTask('successCodes: [256]\nrun: {builtin: ping}'),
  'a requirement that is a number': withTask('requires: {cpus: 4}\nrun: {builtin: ping}'),
  'two ways to run': run('{builtin: ping, command: [ls]}'),
  'no way to run': run('{}'),
  'an unknown builtin': run('{builtin: pong}'),
  'an empty command': run('{command: []}'),
  'a program from a parameter': run('{command: [{param: p}]}'),
  'a number as an argument': run('{command: [sleep, 5]}'),
  'an argument that is neither': run('{command: [ls, {parameter: p}]}'),
  'an unknown interpreter': run('{script: {interpreter: perl, source: x}}'),
  'a script without source': run('{script: {interpreter: sh}}'),
  'a parameter without a type': parameter('{default: 1}'),
  'a parameter of two types': parameter('{type: [string, integer]}'),
  'an unknown keyword': parameter('{type: string, maximumLength: 3}'),
  'a keyword of another type': parameter('{type: integer, maxLength: 3}'),
  'a keyword of numbers on text': parameter('{type: string, minimum: 3}'),
  'an array without items': parameter('{type: array}'),
  'a length below zero': parameter('{type: string, minLength: -1}'),
  'optional with a default': parameter('{type: string, default: a, optional: true}'),
  'optional inside': parameter('{type: array, items: {type: string, optional: true}}'),
  'an unknown format': parameter('{type: string, format: date}'),
  'a parameter name with an underscore': minimal.replace('{p:', '{p_q:'),
  'an example without a title': withTask('run: {builtin: ping}\nexamples: [{parameters: {}}]'),
};

describe('the schema for editors', () => {
  const folder = new URL('../shipped/', import.meta.url);
  for (const file of readdirSync(folder)) {
    it(`accepts the shipped ${file}, as the parser does`, () => {
      const text = readFileSync(new URL(file, folder), 'utf8');
      expect(valid(parse(text)), JSON.stringify(valid.errors)).toBe(true);
      expect(parses(text)).toBe(true);
    });
  }

  it.each(Object.entries(GOOD))('accepts %s, as the parser does', (_name, text) => {
    expect({ schema: valid(parse(text)), parser: parses(text) }, JSON.stringify(valid.errors)).toEqual({
      schema: true,
      parser: true,
    });
  });

  it.each(Object.entries(BAD))('refuses %s, as the parser does', (_name, text) => {
    expect({ schema: valid(parse(text)), parser: parses(text) }).toEqual({ schema: false, parser: false });
  });
});
