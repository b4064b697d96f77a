import type { Pack, PackMonitor, PackRule } from '@openline/packs';
import { didYouMean } from '@openline/packs';
import type { WatchStatus } from '@openline/packs/engine';
import { OpenlineError } from '@openline/proto/errors';
import { type Attributes, attributeOf } from '../agents/selector.ts';
import type { PackService } from '../packs/pack-service.ts';
import type { Policies } from './policies.ts';
import type { Layer } from './resolve.ts';

export interface WatchView {
  readonly kind: 'rule' | 'monitor';
  /** "pack/name" */
  readonly name: string;
  readonly packVersion: string;
  readonly title: string;
  readonly description: string;
  readonly enabled: boolean;
  readonly settings: Readonly<Record<string, unknown>>;
  /** How many overrides there are of it, on whichever agents. */
  readonly overrides: number;
  /** On the agent that was asked for. */
  readonly holds: boolean;
  readonly why: string;
  readonly overridden: readonly string[];
}

export interface WatchExplanation {
  readonly watch: WatchView;
  readonly packDefault: WatchView;
  readonly layers: readonly Layer[];
  readonly problems: readonly string[];
  readonly requirements: readonly {
    readonly key: string;
    readonly wanted: string;
    readonly has: string;
    readonly met: boolean;
  }[];
}

export interface WatchFilter {
  readonly kind: 'rule' | 'monitor' | undefined;
  /** "pack" or "pack/name"; empty: all. */
  readonly watch: string;
}

/** What rules and monitors there are, and what holds of them on an agent. */
export interface WatchReader {
  /**
   * @param agent undefined: as the packs have them
   * @throws OpenlineError PACK_UNKNOWN, WATCH_UNKNOWN when the filter names what is not there
   */
  list(filter: WatchFilter, agent: Attributes | undefined): Promise<WatchView[]>;
  /** @throws OpenlineError WATCH_UNKNOWN */
  explain(watch: string, agent: Attributes): Promise<WatchExplanation>;
}

export interface WatchReaderDeps {
  readonly packs: Pick<PackService, 'wanted'>;
  readonly policies: Pick<Policies, 'overridesOf' | 'countOf'>;
}

type PackWatch = PackRule | PackMonitor;

interface Found {
  readonly pack: Pack;
  readonly watch: PackWatch;
  readonly view: WatchView;
}

export function createWatchReader({ packs, policies }: WatchReaderDeps): WatchReader {
  const wanted = () => packs.wanted().map(({ pack }) => pack);

  function asPacked(pack: Pack, kind: WatchView['kind'], watch: PackWatch): WatchView {
    return {
      kind,
      name: `${pack.name}/${watch.name}`,
      packVersion: pack.version,
      title: watch.title,
      description: watch.description,
      enabled: watch.enabled,
      settings: watch.settings,
      overrides: policies.countOf(pack.name, watch.name),
      holds: watch.enabled,
      why: '',
      overridden: [],
    };
  }

  function all(filter: WatchFilter): Found[] {
    const [wantedPack = '', wantedName] = filter.watch.split('/');
    return wanted()
      .filter(({ name }) => wantedPack === '' || name === wantedPack)
      .flatMap((pack) => [
        ...[...pack.rules.values()].map((watch) => ({ pack, watch, view: asPacked(pack, 'rule', watch) })),
        ...[...pack.monitors.values()].map((watch) => ({ pack, watch, view: asPacked(pack, 'monitor', watch) })),
      ])
      .filter(({ view }) => filter.kind === undefined || view.kind === filter.kind)
      .filter(({ watch }) => wantedName === undefined || watch.name === wantedName);
  }

  /** A name that is not there is a mistake of whoever asks; a pack without any is not. */
  function named(filter: WatchFilter): Found[] {
    const found = all(filter);
    if (found.length > 0 || filter.watch === '') return found;
    if (filter.watch.includes('/')) throw unknown(filter);
    const names = wanted().map(({ name }) => name);
    if (names.includes(filter.watch)) return [];
    const hint = didYouMean(filter.watch, names) || suggestion(filter);
    throw new OpenlineError('PACK_UNKNOWN', `there is no pack «${filter.watch}»${hint}`);
  }

  function unknown({ kind, watch }: WatchFilter): OpenlineError {
    const other = all({ kind: undefined, watch })[0]?.view.kind;
    const hint = watch.includes('/') && other !== undefined ? `: it is a ${other}` : suggestion({ kind, watch });
    return new OpenlineError('WATCH_UNKNOWN', `no pack has a ${kind ?? 'rule or monitor'} «${watch}»${hint}`);
  }

  /** Also of a name that was given without its pack. */
  function suggestion({ kind, watch }: WatchFilter): string {
    const known = all({ kind, watch: '' }).map(({ view }) => view.name);
    return didYouMean(known.find((name) => name.endsWith(`/${watch}`)) ?? watch, known);
  }

  /** As the agent itself works it out, with the same code. */
  async function onAgent(agent: Attributes, only: readonly Pack[], overridden: boolean) {
    const { compileWatches } = await import('@openline/packs/engine');
    const about = { agentName: agent.name, labels: { ...agent.labels }, facts: { ...agent.facts } };
    const overrides = (overridden ? only : []).flatMap((pack) =>
      [...pack.rules.keys(), ...pack.monitors.keys()].flatMap((watch) => {
        const { enabled, severity, settings, layers } = policies.overridesOf(agent, pack.name, watch);
        return layers.length === 0 ? [] : [{ pack: pack.name, watch, enabled, severity, settings }];
      }),
    );
    const { statuses, problems } = compileWatches(only, about, overrides);
    const byName = new Map(statuses.map((status) => [`${status.watch.pack}/${status.watch.name}`, status]));
    return { byName, problems };
  }

  function asHeld({ pack, watch, view }: Found, agent: Attributes, status: WatchStatus | undefined): WatchView {
    if (status === undefined) return view;
    const { holds, why, settings, overridden } = status;
    const { enabled = watch.enabled } = policies.overridesOf(agent, pack.name, watch.name);
    return { ...view, holds, why, settings, overridden, enabled };
  }

  return {
    async list(filter, agent) {
      const found = named(filter);
      if (agent === undefined) return found.map(({ view }) => view);
      const { byName } = await onAgent(agent, [...new Set(found.map(({ pack }) => pack))], true);
      return found.map((each) => asHeld(each, agent, byName.get(each.view.name)));
    },

    async explain(name, agent) {
      const found = name.includes('/') ? all({ kind: undefined, watch: name })[0] : undefined;
      if (found === undefined) throw unknown({ kind: undefined, watch: name });
      const { pack, watch, view } = found;
      const { byName, problems } = await onAgent(agent, [pack], true);
      const plain = (await onAgent(agent, [pack], false)).byName.get(view.name);
      return {
        watch: asHeld(found, agent, byName.get(view.name)),
        packDefault: { ...view, settings: plain?.settings ?? view.settings },
        layers: policies.overridesOf(agent, pack.name, watch.name).layers,
        problems: problems
          .filter((problem) => problem.startsWith(`${view.name}: `))
          .map((problem) => problem.slice(view.name.length + 2)),
        requirements: Object.entries(watch.requires).map(([key, wantedValue]) => {
          const has = attributeOf(agent, key);
          return {
            key,
            wanted: wantedValue,
            has: has ?? '',
            met: has !== undefined && (wantedValue === '*' || has === wantedValue),
          };
        }),
      };
    },
  };
}
