import { OpenlineError } from '@openline/proto/errors';
import type { DeclaredChange } from '../declared/declared.ts';
import type { PackService } from '../packs/pack-service.ts';
import type { OverrideSpec } from './override.ts';

/**
 * Refuses overrides that make no sense for the pack that is there: a name or a setting that was mistyped would change nothing, and nobody would
 * notice. A pack that is not there yet may come later.
 * @throws OpenlineError DECLARED_INVALID
 */
export async function checkOverrides(
  packs: Pick<PackService, 'wanted'>,
  changes: readonly DeclaredChange<OverrideSpec>[],
): Promise<void> {
  const { overrideProblems } = await import('@openline/packs/engine');
  const problems = changes.flatMap(({ name, after }) => {
    const pack = after && packs.wanted().find((stored) => stored.pack.name === after.pack)?.pack;
    if (after === undefined || pack === undefined) return [];
    const { enabled, severity, settings, watch } = after;
    return overrideProblems(pack, { pack: pack.name, watch, enabled, severity, settings }).map(
      (problem) => `Override/${name}: ${problem}`,
    );
  });
  if (problems.length > 0) throw new OpenlineError('DECLARED_INVALID', problems.join('\n'));
}
