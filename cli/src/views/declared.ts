import { type AppliedObject, type DeclaredObject, DeclaredOutcome } from '@openline/proto/declared';
import { iso, json } from './values.ts';

/** What `openline apply -o json` says of one object. Public: fields are added, never renamed or removed. */
export interface AppliedView {
  kind: string;
  name: string;
  outcome: 'created' | 'changed' | 'unchanged' | 'unknown';
}

const OUTCOMES: ReadonlyMap<DeclaredOutcome, AppliedView['outcome']> = new Map([
  [DeclaredOutcome.DECLARED_OUTCOME_CREATED, 'created'],
  [DeclaredOutcome.DECLARED_OUTCOME_CHANGED, 'changed'],
  [DeclaredOutcome.DECLARED_OUTCOME_UNCHANGED, 'unchanged'],
]);

export function appliedView({ kind, name, outcome }: AppliedObject): AppliedView {
  return { kind, name, outcome: OUTCOMES.get(outcome) ?? 'unknown' };
}

/** A declared object as `-o json` shows it: what was applied, and who applied it. */
export interface DeclaredView {
  apiVersion: 'openline.dev/v1';
  kind: string;
  metadata: { name: string; updatedBy: string; updatedAt: string | null };
  spec: unknown;
}

export function declaredView(object: DeclaredObject): DeclaredView {
  return {
    apiVersion: 'openline.dev/v1',
    kind: object.kind,
    metadata: { name: object.name, updatedBy: object.updatedBy, updatedAt: iso(object.updatedUnixMs) },
    spec: json(object.specJson, null),
  };
}
