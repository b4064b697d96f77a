import { compileWatches, createEngine, type Engine, type EngineState, type WatchOverride } from '../engine/index.ts';
import type { NodeEvent } from '../monitoring.ts';
import type { Pack } from '../pack.ts';
import { parsePack } from '../parse.ts';

/** Packs and engines for tests, from the lines below `apiVersion`, `kind` and `metadata`. */

export function packWith(lines: string): Pack {
  const head = 'apiVersion: openline.dev/v1\nkind: Pack\nmetadata: {name: p, version: 1.0.0, title: P}\n';
  return parsePack(Buffer.from(`${head}${lines}`), 'pack.yaml');
}

export const about = { agentName: 'web-1', labels: { role: 'web' }, facts: { os: 'linux' } };

export function watchesWith(lines: string, overrides: readonly Partial<WatchOverride>[] = []) {
  const full = overrides.map((override) => ({
    pack: 'p',
    watch: '',
    enabled: undefined,
    severity: undefined,
    settings: {},
    ...override,
  }));
  return compileWatches([packWith(lines)], about, full);
}

/** Its first tick is done. */
export function engineWith(
  lines: string,
  overrides: readonly Partial<WatchOverride>[] = [],
  saved?: EngineState,
): Engine {
  const engine = createEngine(watchesWith(lines, overrides), saved);
  engine.tick(0);
  return engine;
}

export function eventAt(atUnixMs: number, more: Partial<NodeEvent> = {}): NodeEvent {
  return { log: 'syslog', source: 'app', id: '', level: 'info', message: 'it happened', data: {}, ...more, atUnixMs };
}
