import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parsePack } from '@openline/packs';
import { overrideProblems } from '@openline/packs/engine';
import { expect, it } from 'vitest';
import { readFiles } from '../declared/read.ts';
import { createDeclaredRegistry } from '../declared/registry.ts';
import { maintenanceWindowKind } from '../maintenance/window.ts';
import { heartbeatPolicyKind } from '../policy/heartbeat-policy.ts';
import { type OverrideSpec, overrideKind } from '../policy/override.ts';
import { healthGroupKind } from './health-group.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');

it('what docs/health.md says to declare can be declared, and makes sense for the packs that it names', () => {
  const text = readFileSync(join(ROOT, 'docs', 'health.md'), 'utf8');
  const blocks = [...text.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, yaml = '']) => yaml);
  const linux = parsePack(readFileSync(join(ROOT, 'packs', 'shipped', 'linux.yaml')), 'linux.yaml');
  const overrides: OverrideSpec[] = [];
  const registry = createDeclaredRegistry();
  registry.register(healthGroupKind);
  registry.register(heartbeatPolicyKind);
  registry.register(maintenanceWindowKind);
  registry.register<OverrideSpec>({
    ...overrideKind,
    parse(spec, context) {
      const parsed = overrideKind.parse(spec, context);
      if (parsed !== undefined) overrides.push(parsed);
      return parsed;
    },
  });
  const read = readFiles(
    registry,
    blocks.map((yaml, i) => ({ name: `block ${i + 1}`, content: Buffer.from(yaml) })),
  );
  expect(read.problems()).toEqual([]);
  expect(new Set(read.documents.map(({ entry }) => entry.kind)).size).toBe(4);
  expect(overrides.flatMap((override) => overrideProblems(linux, override))).toEqual([]);
});
