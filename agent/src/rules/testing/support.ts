import type { NodeEvent } from '@openline/packs';
import type { Detection, EngineState, Outcome } from '@openline/packs/engine';
import type { EventRecord } from '@openline/proto/agent';
import type { EventSpool } from '../../spool/event-spool.ts';
import type { RuleEngine } from '../runtime.ts';

export const eventOf = (message: string, more: Partial<NodeEvent> = {}): NodeEvent => ({
  log: 'agent',
  source: 'test',
  id: '',
  level: 'info',
  atUnixMs: Date.now(),
  message,
  data: {},
  ...more,
});

export const detectionOf = (key: string, event: NodeEvent): Detection => ({
  kind: 'detection',
  rule: { pack: 'demo', version: '1.0.0', name: 'rule' },
  key,
  atUnixMs: event.atUnixMs,
  events: [event],
  eventCount: 1,
  alert: { severity: 'warning', title: `alert ${key}`, description: '', key },
  run: undefined,
});

/**
 * An engine of one rule: `fire KEY` fires it, `count KEY` only changes its state, `break` breaks it. Its state counts the events of each key.
 */
export function tinyEngine(saved: EngineState = {}): RuleEngine & { readonly seen: string[] } {
  const state: Record<string, unknown> = { ...saved };
  let changed = new Set<string>();
  const seen: string[] = [];
  return {
    seen,
    event(event): Outcome[] {
      const [word = '', key = ''] = event.message.split(' ');
      if (word === 'break') throw new Error('out of order');
      seen.push(event.message);
      state[key] = Number(state[key] ?? 0) + 1;
      changed.add(key);
      return word === 'fire' ? [detectionOf(key, event)] : [];
    },
    sample: (_pack, monitor, result, nowUnixMs) => [
      {
        kind: 'state',
        monitor: { pack: 'demo', version: '1.0.0', name: monitor },
        instance: '',
        atUnixMs: nowUnixMs,
        from: 'not_monitored',
        to: result.ok ? 'healthy' : 'unknown',
        reason: '',
        sample: undefined,
        events: [],
        alert: undefined,
        diagnostic: undefined,
        recoveries: [],
      },
    ],
    tick: () => [],
    dueAtUnixMs: () => undefined,
    reset: () => [],
    state: () => ({ ...state }),
    changes() {
      const set = Object.fromEntries([...changed].map((key) => [key, state[key]]));
      changed = new Set();
      return { set, removed: [] };
    },
    health: () => [],
  };
}

/** Everything that was not acknowledged. */
export async function recordsIn(spool: EventSpool): Promise<EventRecord[]> {
  const records: EventRecord[] = [];
  for (let after = spool.acked(); ; after = Number(records.at(-1)?.seq)) {
    const more = await spool.read(after, 1_000_000);
    if (more.length === 0) return records;
    records.push(...more);
  }
}

/** `KEY×COUNT` of a detection, `log: EVENTS` of a gap, `→ STATE` of a state change, `metric=COUNT` of counts. */
export function shortOf({ kind }: EventRecord): string {
  switch (kind?.$case) {
    case 'detection':
      return `${kind.value.alert?.key}×${kind.value.count}`;
    case 'gap':
      return `${kind.value.log}: ${kind.value.events} ${kind.value.reason}`;
    case 'stateChange':
      return `${kind.value.monitor?.name} → ${kind.value.to}`;
    case 'metricCounts':
      return kind.value.counts.map(({ metric, count }) => `${metric}=${count}`).join(' ');
    case undefined:
      return 'nothing';
    default:
      return kind satisfies never;
  }
}
