import { expect, it } from 'vitest';
import { inFlags } from './fields.ts';

it.each([
  ['spec.ttlMs: longer than 7 days', ['--ttl'], '--ttl: longer than 7 days'],
  [
    'spec.targets: is empty; idempotencyKey: long',
    ['--on', '--idempotency-key'],
    '--on: is empty; --idempotency-key: long',
  ],
  ['filter.owner: long', ['--owner'], '--owner: long'],
  ['owner: long', ['--to'], '--to: long'],
  ['filter.watch: long', ['--watch', '--by'], '--by: long'],
  ['labels.rack: longer', ['--label'], '--label rack: longer'],
  ['runId: longer than 64 characters', ['--output'], 'runId: longer than 64 characters'],
  ['the agent: on: it', ['--on'], 'the agent: on: it'],
])('«%s» of a command with %o is «%s»', (message, flags, expected) => {
  expect(inFlags(message, flags)).toBe(expected);
});
