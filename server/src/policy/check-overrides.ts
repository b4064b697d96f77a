import type { DeclaredChange } from '../declared/declared.ts';
import type { PackService } from '../packs/pack-service.ts';
import type { OverrideSpec } from './override.ts';

/**
 * Refuses overrides that make no sense for the pack that is there: a name or a setting that was mistyped would change nothing, and nobody would
 * notice. A pack that is not there yet may come later. What is wrong goes to the report of its change.
 */
export async function checkOverrides(
  packs: Pick<PackService, 'wanted'>,
  changes: readonly DeclaredChange<OverrideSpec>[],
): Promise<void> {
  const { overrideProblems } = await import('@openline/packs/engine');
  for (const { after, report } of changes) {
    const pack = after && packs.wanted().find((stored) => stored.pack.name === after.pack)?.pack;
    if (after === undefined || pack === undefined) continue;
    const { enabled, severity, settings, watch, at } = after;
    const check = (place: number, part: Pick<Partial<OverrideSpec>, 'enabled' | 'severity' | 'settings'>) => {
      const override = { enabled: undefined, severity: undefined, settings: {}, ...part };
      for (const problem of overrideProblems(pack, { pack: pack.name, watch, ...override }))
        report?.add(place, problem);
    };
    check(at.watch, { enabled, severity });
    // Each by itself, so that each has its own place; of a watch that there is not, none has a meaning.
    if (!pack.rules.has(watch) && !pack.monitors.has(watch)) continue;
    for (const [name, value] of Object.entries(settings))
      check(at.settings[name] ?? at.watch, { settings: { [name]: value } });
  }
}
