import type { About, ProbeResult, WatchOverride } from '../engine/index.ts';
import type { EventLevel } from '../monitoring.ts';

/** One test of a pack: what is told to the engine, at what time, and what must come of it. docs/monitoring.md is the guide. */
export interface PackCase {
  readonly title: string;
  /** Where it stands in the file, from 1. */
  readonly line: number;
  readonly about: About;
  readonly overrides: readonly WatchOverride[];
  /** Whether expressions may fail, which counts as no match. */
  readonly allowErrors: boolean;
  readonly steps: readonly CaseStep[];
}

export interface CaseStep {
  readonly line: number;
  /** After the begin of the case, milliseconds; never before the step before it. */
  readonly atMs: number;
  /** So often, `everyMs` apart, with `${i}` from 0. */
  readonly repeat: number;
  readonly everyMs: number;
  /** Undefined: only time passes. */
  readonly action: CaseAction | undefined;
  /** What must have come since the step before. Undefined: anything. */
  readonly expect: CaseExpectation | undefined;
}

/** Texts in values are templates over `i`. */
export type CaseAction =
  | {
      readonly kind: 'event';
      readonly log: string;
      readonly source: string;
      readonly id: string;
      readonly level: EventLevel;
      readonly message: string;
      readonly data: unknown;
      /** So long before it is read was it raised. */
      readonly agoMs: number;
    }
  | {
      readonly kind: 'sample';
      readonly monitor: string;
      readonly given:
        | { readonly kind: 'value'; readonly value: unknown }
        | { readonly kind: 'result'; readonly result: ProbeResult };
    }
  | { readonly kind: 'reset'; readonly monitor: string; readonly instance: string };

/** Of each kind that is given: exactly so many, in this order; of each, the fields that are given. */
export interface CaseExpectation {
  readonly detections: readonly unknown[] | undefined;
  readonly states: readonly unknown[] | undefined;
  readonly metrics: readonly unknown[] | undefined;
}
