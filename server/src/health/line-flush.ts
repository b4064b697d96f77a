import type { Pool } from 'pg';
import type { Alert, AlertSubject } from '../alerts/alert.ts';
import type { AlertAction, AlertDesk, AlertRaise } from '../alerts/alerts.ts';
import { inTransaction, type Tx } from '../db/transaction.ts';
import { isRemoved, type Line } from './line.ts';
import { BY, lineAlert, outageAlert, outageSubject, partAlert, subjectOf } from './line-alert.ts';
import type { LineStore } from './line-store.ts';
import type { Lines } from './lines.ts';
import { isBad, PARTS, type Part, type PartState } from './parts.ts';
import { savedOf } from './saved-line.ts';

export interface LineFlushDeps {
  readonly pool: Pool;
  readonly desk: Pick<AlertDesk, 'apply' | 'open'>;
  readonly store: Pick<LineStore, 'save'>;
  readonly lines: Lines;
  partOf(agentId: string, part: Part): PartState | undefined;
  /** Monotonic. */
  nowMs(): number;
  /** A new alert. @param diagnosis a verdict, or the part that does not work */
  raised(diagnosis: string): void;
}

type Wanted = AlertRaise & {
  readonly diagnosis: string;
  /** This server has not looked at its node. */
  readonly notLooked: boolean;
};

interface Change {
  readonly lines: readonly string[];
  readonly anew: ReadonlySet<string>;
  readonly outages: readonly string[];
  readonly parts: readonly string[];
}

/**
 * Makes the alerts of lines, and what is kept of them, what they should be: both in one transaction. It compares what is wanted with what was
 * told, so that it can be done again after any failure.
 */
export class LineFlush {
  readonly #deps: LineFlushDeps;
  /** What was said last of each subject; undefined: by a server before. */
  readonly #told = new Map<string, { readonly subject: AlertSubject; readonly text: string | undefined }>();
  readonly changedParts = new Set<string>();

  constructor(deps: LineFlushDeps) {
    this.#deps = deps;
  }

  /** At the start: an alert that is open. */
  known({ subject }: Pick<Alert, 'subject'>): void {
    this.#told.set(keyOf(subject), { subject, text: undefined });
  }

  /** @throws OpenlineError STORE_UNAVAILABLE: it is done with the next flush */
  async flush(): Promise<void> {
    const { lines, pool } = this.#deps;
    const change: Change = {
      lines: [...lines.changedLines],
      anew: new Set(lines.anew),
      outages: [...lines.changedOutages],
      parts: [...this.changedParts],
    };
    if (change.lines.length + change.outages.length + change.parts.length === 0) return;
    lines.changedLines.clear();
    lines.anew.clear();
    lines.changedOutages.clear();
    this.changedParts.clear();
    try {
      const done = await inTransaction(pool, (tx) => this.#write(tx, change));
      for (const { key, told } of done) {
        if (told === undefined) this.#told.delete(key);
        else this.#told.set(key, told);
      }
    } catch (error) {
      for (const id of change.lines) lines.changedLines.add(id);
      for (const id of change.anew) lines.anew.add(id);
      for (const key of change.outages) lines.changedOutages.add(key);
      for (const id of change.parts) this.changedParts.add(id);
      throw error;
    }
  }

  async #write(tx: Tx, change: Change) {
    const { desk, store, lines } = this.#deps;
    const subjects = [
      ...change.lines.map((id) => ({ subject: subjectOf(id, 'agent'), wanted: this.#lineWanted(id) })),
      ...change.outages.map((key) => ({ subject: outageSubject(key), wanted: this.#outageWanted(key) })),
      ...change.parts.flatMap((id) =>
        PARTS.map((part) => ({ subject: subjectOf(id, part), wanted: this.#partWanted(id, part) })),
      ),
    ];
    const actions: AlertAction[] = [];
    const diagnoses = new Map<string, string>();
    const updates: Wanted[] = [];
    const done: { key: string; told: { subject: AlertSubject; text: string } | undefined }[] = [];
    for (const { subject, wanted } of subjects) {
      const key = keyOf(subject);
      let told = this.#told.get(key);
      if (told !== undefined && subject.watch === 'agent' && change.anew.has(subject.agentId)) {
        actions.push({ kind: 'close', subject, by: BY, comment: this.#whyAnew(subject) });
        done.push({ key, told: undefined });
        told = undefined;
      }
      if (wanted === undefined) {
        if (told === undefined) continue;
        actions.push({ kind: 'close', subject, by: BY, comment: this.#whyClosed(subject) });
        done.push({ key, told: undefined });
        continue;
      }
      const text = textOf(wanted);
      if (told?.text === text) continue;
      // What a server before has found out is worth more than that this one has not looked yet.
      if (told !== undefined && told.text === undefined && wanted.notLooked) continue;
      done.push({ key, told: { subject, text } });
      diagnoses.set(key, wanted.diagnosis);
      if (told === undefined) actions.push(wanted);
      else updates.push(wanted);
    }
    // Words that change are no repeat; and what a person has closed stays closed.
    if (updates.length > 0) {
      const open = new Set((await desk.open('line', tx)).map(({ subject }) => keyOf(subject)));
      for (const update of updates) if (open.has(keyOf(update.subject))) actions.push({ ...update, times: 0 });
    }
    const { changes } = await desk.apply(actions, tx);
    const raised = changes.filter(({ kind }) => kind === 'raised').map(({ alert }) => alert);
    for (const { subject, maintenanceId } of raised)
      if (subject.watch === 'agent') lines.raised(subject.agentId, maintenanceId !== '', this.#deps.nowMs());
    tx.afterCommit(() => {
      for (const { subject } of raised) this.#deps.raised(diagnoses.get(keyOf(subject)) ?? 'unknown');
    });
    const saved = change.lines.map((id) => lines.get(id)).flatMap((line) => (line && savedOf(line)) ?? []);
    const kept = new Set(saved.map(({ agentId }) => agentId));
    await store.save(
      tx,
      saved,
      change.lines.filter((id) => !kept.has(id)),
    );
    return done;
  }

  #lineWanted(agentId: string): Wanted | undefined {
    const line = this.#deps.lines.get(agentId);
    const alert = line && lineAlert(line);
    if (line?.state.kind !== 'down' || alert === undefined) return undefined;
    return { ...alert, diagnosis: line.state.verdict, notLooked: line.state.evidence === undefined };
  }

  #outageWanted(key: string): Wanted | undefined {
    const { lines } = this.#deps;
    const outage = lines.outage(key);
    if (outage === undefined) return undefined;
    const lost = [...outage.members].flatMap((id): Line[] => {
      const line = lines.get(id);
      return line === undefined ? [] : [line];
    });
    const { verdict, ...alert } = outageAlert(outage, lines.sizeOf(key), lost);
    return { ...alert, diagnosis: verdict, notLooked: false };
  }

  #partWanted(agentId: string, part: Part): Wanted | undefined {
    const line = this.#deps.lines.get(agentId);
    const state = this.#deps.partOf(agentId, part);
    if (line === undefined || state === undefined || !isBad(state)) return undefined;
    return { ...partAlert(part, line, state.problem), diagnosis: part, notLooked: false };
  }

  #whyClosed({ agentId, watch }: AlertSubject): string {
    if (watch === 'group') return 'the group is back; what is still away has alerts of its own';
    const line = this.#deps.lines.get(agentId);
    if (line === undefined) return 'the agent was revoked or deleted';
    if (watch !== 'agent') return 'it works again';
    if (line.state.kind === 'up') return 'the line is back';
    return isRemoved(line.state) ? 'its node was removed' : 'its heartbeat policy wants none';
  }

  #whyAnew(subject: AlertSubject): string {
    const line = this.#deps.lines.get(subject.agentId);
    const minded = line?.agent.heartbeat.alert === true && line.state.kind !== 'up';
    return minded ? 'the maintenance is over: it is looked at anew' : this.#whyClosed(subject);
  }
}

/** What has the same text need not be said again. How long something lasts changes with every look, and is no news. */
function textOf({ title, description, severity }: AlertRaise): string {
  return JSON.stringify([title, description.replaceAll(/\d+ s\b/g, ''), severity]);
}

function keyOf({ agentId, watch, key }: AlertSubject): string {
  return JSON.stringify([agentId, watch, key]);
}
