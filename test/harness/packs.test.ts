import { readFileSync } from 'node:fs';
import { parsePack } from '@openline/packs';
import { expect, it } from 'vitest';
import { TEST_PACK } from './paths.ts';

it('the test pack is a valid pack', () => {
  const pack = parsePack(readFileSync(TEST_PACK), 'test.yaml');
  expect([...pack.tasks.keys()]).toContain('marker');
});
