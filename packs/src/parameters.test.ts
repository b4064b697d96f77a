import { OpenlineError } from '@openline/proto/errors';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coerceParameters, coerceSome } from './coerce.ts';
import { compileParameters } from './parameters.ts';

function taskWith(properties: Record<string, unknown>, required: string[] = []) {
  return { parametersSchema: { type: 'object', properties, required, additionalProperties: false } };
}

function refusal(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof OpenlineError && error.code === 'PARAMETERS_INVALID') return error.message;
    throw error;
  }
  return 'accepted';
}

describe('the check of parameters', () => {
  it('fills defaults in, also deep ones, and leaves what it was given alone', () => {
    const validate = compileParameters(
      taskWith({
        path: { type: 'string', default: '/' },
        size: { type: 'integer' },
        http: { type: 'object', properties: { port: { type: 'integer', default: 80 } } },
        list: { type: 'array', items: { type: 'string' }, default: ['a'] },
      }),
    );
    const given = { http: {} };
    expect(validate(given)).toEqual({ path: '/', http: { port: 80 }, list: ['a'] });
    expect(given).toEqual({ http: {} });
    // A default that is a list is not shared between calls.
    expect(validate({})['list']).not.toBe(validate({})['list']);
  });

  it('names every parameter that is wrong, and what was expected', () => {
    const validate = compileParameters(taskWith({ path: { type: 'string' }, count: { type: 'integer' } }, ['path']));
    expect(refusal(() => validate({ count: '3', pth: '/' }))).toBe(
      "there is no parameter 'pth'; did you mean 'path'?; parameter 'path' is missing; parameter 'count' must be a whole number",
    );
    expect(refusal(() => validate('x'))).toBe('the parameters must be an object');
    expect(refusal(() => validate([]))).toBe('the parameters must be an object');
  });

  it.each([
    [{ type: 'string', enum: ['a', 'b'] }, 'c', 'must be one of a, b'],
    [{ type: 'string', const: 'a' }, 'c', 'must be a'],
    [{ type: 'string', pattern: '^/' }, 'c', 'must match ^/'],
    [{ type: 'string', minLength: 1 }, '', 'must have at least 1 character'],
    [{ type: 'string', maxLength: 2 }, 'abc', 'must have at most 2 characters'],
    [{ type: 'string', format: 'host' }, 'a b', 'must be a host name or an IP address'],
    [{ type: 'string', format: 'hostname' }, '-a', 'must be a host name'],
    [{ type: 'string', format: 'ipv4' }, '1.2.3', 'must be an IPv4 address'],
    [{ type: 'string', format: 'ipv6' }, '::g', 'must be an IPv6 address'],
    [{ type: 'string', format: 'uri' }, '/x', 'must be an absolute URI'],
    [{ type: 'integer', minimum: 1 }, 0, 'must be at least 1'],
    [{ type: 'integer' }, 1.5, 'must be a whole number'],
    [{ type: 'integer' }, 1e300, 'must be at most 9007199254740991'],
    [{ type: 'number', maximum: 1 }, 2, 'must be at most 1'],
    [{ type: 'number', exclusiveMinimum: 0 }, 0, 'must be above 0'],
    [{ type: 'number', exclusiveMaximum: 0 }, 0, 'must be below 0'],
    [{ type: 'number', multipleOf: 0.5 }, 0.7, 'must be a multiple of 0.5'],
    [{ type: 'boolean' }, 'true', 'must be true or false'],
    [{ type: 'array', items: { type: 'string' } }, ['a', 1], 'at /1 must be text (a JSON string)'],
    [{ type: 'array', items: { type: 'string' }, minItems: 1 }, [], 'must have at least 1 item'],
    [{ type: 'array', items: { type: 'string' }, maxItems: 1 }, ['a', 'b'], 'must have at most 1 item'],
    [{ type: 'array', items: { type: 'string' }, uniqueItems: true }, ['a', 'a'], 'must not have the same item twice'],
    [{ type: 'object', properties: {}, additionalProperties: false }, { x: 1 }, "has the unknown property 'x'"],
    [{ type: 'object', properties: { x: { type: 'string' } }, required: ['x'] }, {}, "lacks 'x'"],
    [{ type: 'object' }, null, 'must be a JSON object'],
  ])('%j refuses %j', (schema, value, expected) => {
    expect(refusal(() => compileParameters(taskWith({ p: schema }))({ p: value }))).toBe(`parameter 'p' ${expected}`);
  });

  it('never repeats a value, which may be a secret', () => {
    const schema = { type: 'string', pattern: '^x$', minLength: 3, format: 'uri' };
    const message = refusal(() => compileParameters(taskWith({ p: schema }))({ p: 'hunter2' }));
    expect(message).not.toContain('hunter2');
  });

  it('refuses NUL and broken Unicode wherever they stand', () => {
    const validate = compileParameters(
      taskWith({ p: { type: 'string' }, o: { type: 'object', additionalProperties: true } }),
    );
    const nul = 'contains a NUL character, which cannot be given to a process';
    expect(refusal(() => validate({ p: 'a\0b' }))).toBe(`parameter 'p' ${nul}`);
    expect(refusal(() => validate({ o: { a: ['\0'] } }))).toBe(`parameter 'o' ${nul}`);
    expect(refusal(() => validate({ o: { 'a\0': 1 } }))).toBe(`parameter 'o' ${nul}`);
    expect(refusal(() => validate({ p: '\ud800' }))).toBe(
      "parameter 'p' contains half of a surrogate pair, which is no Unicode text",
    );
  });

  it('is not fooled by names that every object has', () => {
    const validate = compileParameters(taskWith({ constructor: { type: 'string' } }, ['constructor']));
    expect(refusal(() => validate({}))).toBe("parameter 'constructor' is missing");
    expect(refusal(() => validate(JSON.parse('{"constructor":"x","__proto__":{"a":1}}')))).toMatch(
      /^there is no parameter '__proto__'/,
    );
    expect(refusal(() => compileParameters(taskWith({}))({ 'to-string': 1 }))).toBe(
      "there is no parameter 'to-string'; the task takes none",
    );
  });

  it('survives values nested without end', () => {
    const validate = compileParameters(taskWith({ o: { type: 'object', additionalProperties: true } }));
    const deep = JSON.parse(`${'{"a":'.repeat(5000)}1${'}'.repeat(5000)}`);
    expect(refusal(() => validate({ o: deep }))).toBe("parameter 'o' is nested more than 32 deep");
  });

  it('is not stalled by a catastrophic pattern, nor by a large value', () => {
    const startedMs = performance.now();
    const catastrophic = compileParameters(taskWith({ p: { type: 'string', pattern: '^(a+)+$' } }));
    expect(refusal(() => catastrophic({ p: `${'a'.repeat(4000)}!` }))).toBe("parameter 'p' must match ^(a+)+$");
    expect(catastrophic({ p: 'a'.repeat(4000) })).toBeDefined();
    // Longer than any string beside a pattern may be: refused before the pattern is tried.
    expect(refusal(() => catastrophic({ p: 'a'.repeat(4_000_000) }))).toMatch(/must have at most 4096 characters/);
    const costly = { type: 'string', pattern: '(a?){500}(b|[a-c]){400}$', maxLength: 65_536 };
    refusal(() => compileParameters(taskWith({ p: costly }))({ p: `${'ab'.repeat(30_000)}!` }));
    expect(performance.now() - startedMs).toBeLessThan(20_000);
  });

  it('keeps two patterns apart', () => {
    const validate = compileParameters(
      taskWith({ a: { type: 'string', pattern: '^a$' }, b: { type: 'string', pattern: '^b$' } }),
    );
    expect(validate({ a: 'a', b: 'b' })).toEqual({ a: 'a', b: 'b' });
    expect(refusal(() => validate({ a: 'a', b: 'a' }))).toBe("parameter 'b' must match ^b$");
  });

  it('gives back what it accepted, for any JSON', () => {
    const validate = compileParameters(taskWith({ o: { type: 'object', additionalProperties: true } }));
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 })), (o) => {
        const text = JSON.stringify(o);
        if (text.includes('\\u0000')) return;
        expect(JSON.stringify(validate({ o })['o'])).toBe(text);
      }),
    );
  });
});

describe('parameters whose value is known later', () => {
  const validate = compileParameters(
    taskWith({ path: { type: 'string' }, count: { type: 'integer', default: 3 } }, ['path']),
  );

  it('count as given, and get no default', () => {
    expect(validate({}, ['path'])).toEqual({ count: 3 });
    expect(validate({ path: '/' }, ['count'])).toEqual({ path: '/' });
  });

  it('have a name of the task, and no value besides', () => {
    expect(refusal(() => validate({}, ['pth']))).toBe(
      "there is no parameter 'pth'; did you mean 'path'?; parameter 'path' is missing",
    );
    expect(refusal(() => validate({ path: '/' }, ['path']))).toBe(
      "parameter 'path' is given twice: as a value, and as one of the target",
    );
  });
});

describe('parameters from a command line', () => {
  const task = taskWith({
    text: { type: 'string' },
    count: { type: 'integer' },
    ratio: { type: 'number' },
    dry: { type: 'boolean' },
    hosts: { type: 'array', items: { type: 'string' } },
    ports: { type: 'array', items: { type: 'integer' } },
    options: { type: 'object' },
  });

  it('become what the schema says they are', () => {
    const given = { text: '10', count: '-3', ratio: '1e-3', dry: 'false', options: '{"a":[1]}' };
    expect(coerceParameters(task, given)).toEqual({
      text: '10',
      count: -3,
      ratio: 0.001,
      dry: false,
      options: { a: [1] },
    });
  });

  it('become lists: given once, repeated, or as JSON', () => {
    expect(coerceParameters(task, { hosts: 'a,b' })).toEqual({ hosts: ['a,b'] });
    expect(coerceParameters(task, { hosts: ['a', '[b]'], ports: ['1', '2'] })).toEqual({
      hosts: ['a', '[b]'],
      ports: [1, 2],
    });
    expect(coerceParameters(task, { hosts: '["a","b"]', ports: '[]' })).toEqual({ hosts: ['a', 'b'], ports: [] });
  });

  it.each([
    [{ count: '3.5' }, "parameter 'count' must be a whole number"],
    [{ count: '' }, "parameter 'count' must be a whole number"],
    [{ count: '99999999999999999999' }, "parameter 'count' is too large a number to be kept exactly"],
    [{ ratio: '0x10' }, "parameter 'ratio' must be a number"],
    [{ ratio: '1e999' }, "parameter 'ratio' must be a number"],
    [{ dry: 'yes' }, "parameter 'dry' must be true or false"],
    [{ text: ['a', 'b'] }, "parameter 'text' was given more than once, and takes one value"],
    [{ hosts: '[a' }, "parameter 'hosts' begins with [ and so must be a JSON array"],
    [{ ports: ['1', 'x'] }, "parameter 'ports' must be a whole number"],
    [{ options: 'a=b' }, "parameter 'options' must be a JSON object"],
    [{ txet: 'a' }, "there is no parameter 'txet'; did you mean 'text'?"],
    [{ count: 'x', dry: 'y' }, "parameter 'count' must be a whole number; parameter 'dry' must be true or false"],
  ])('are refused when they cannot be: %j', (given, message) => {
    expect(refusal(() => coerceParameters(task, given))).toBe(message);
  });

  it('are converted alone where only some are text', () => {
    expect(coerceSome(task, { text: '1', count: '7', ratio: 0.5 }, ['count'])).toEqual({
      text: '1',
      count: 7,
      ratio: 0.5,
    });
    expect(refusal(() => coerceSome(task, { count: '' }, ['count']))).toBe("parameter 'count' must be a whole number");
  });
});
