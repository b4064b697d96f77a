import type { AlertAction } from '../alerts/alerts.ts';
import type { MonitorRecord, MonitorState, StateChange } from './event.ts';

/** What a change of a monitor's state means. Pure. */

export interface Observed {
  /** `undefined`: forget it. */
  readonly record: MonitorRecord | undefined;
  readonly action: AlertAction | undefined;
  /** It got worse: what the pack names for that is due. */
  readonly worse: boolean;
}

export interface MonitorContext {
  readonly agentId: string;
  /** When it happened, by this server's clock. */
  readonly at: Date;
  /** A name for a spell of ill health that begins. */
  newSpell(): string;
}

const RANK = { healthy: 0, unknown: 0, warning: 1, critical: 2 } as const satisfies Record<MonitorState, number>;

export function observe(
  known: MonitorRecord | undefined,
  change: StateChange,
  { agentId, at, newSpell }: MonitorContext,
): Observed {
  const { pack, monitor, instance, to } = change;
  const watch = `${pack}/${monitor}`;
  const subject = { kind: 'monitor', agentId, watch, key: instance } as const;
  const close = (comment: string): AlertAction => ({ kind: 'close', subject, by: watch, comment });
  if (to === undefined) return { record: undefined, action: close('it is not monitored any more'), worse: false };

  const hushed = stillHushed(known?.hushed, to);
  const record: MonitorRecord = {
    agentId,
    pack,
    monitor,
    instance,
    state: to,
    since: known?.state === to ? known.since : at,
    reason: change.reason,
    sampleJson: change.sampleJson,
    spell: spellOf(known?.spell ?? '', to, newSpell),
    hushed,
  };
  const worse = RANK[to] > RANK[known?.state ?? 'healthy'];
  return { record, action: actionOf(), worse };

  function actionOf(): AlertAction | undefined {
    if (change.alert === undefined) {
      // Nobody knows how it is: neither worse nor better.
      if (to === 'unknown') return undefined;
      return close(change.reason === '' ? `it is ${to}` : `it is ${to}: ${change.reason}`);
    }
    if (hushed !== undefined) return undefined;
    const { severity, title, description } = change.alert;
    return {
      kind: 'raise',
      subject,
      severity,
      severityMay: 'follow',
      title,
      description,
      behind: change.events,
      by: watch,
    };
  }
}

function spellOf(spell: string, to: MonitorState, newSpell: () => string): string {
  if (to === 'healthy') return '';
  // A probe that does not work begins no spell, and ends none.
  return to === 'unknown' || spell !== '' ? spell : newSpell();
}

function stillHushed(hushed: MonitorRecord['hushed'], to: MonitorState): MonitorRecord['hushed'] {
  if (hushed === undefined || to === 'healthy') return undefined;
  return RANK[to] > RANK[hushed] ? undefined : hushed;
}
