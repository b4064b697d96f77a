import type { Runner } from './pack.ts';

/** What a pack watches for: rules match events, monitors are health state machines. docs/monitoring.md is the guide. */

export const EVENT_LEVELS = ['debug', 'info', 'warning', 'error', 'critical'] as const;
export type EventLevel = (typeof EVENT_LEVELS)[number];

export const SEVERITIES = ['information', 'warning', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** Something an agent observed, whatever it was read from. CEL sees it as `event`. */
export interface NodeEvent {
  /** Where it was read: `agent`, `kernel`, `journal`, `syslog`, `kubernetes`, `windows`, or `file:<path>`. */
  readonly log: string;
  /** What raised it there: a program, a unit, a component. */
  readonly source: string;
  /** The source's own name or number for events of this kind; empty when it has none. */
  readonly id: string;
  readonly level: EventLevel;
  readonly atUnixMs: number;
  readonly message: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** All that is given must hold. */
export interface EventMatch {
  readonly logs: readonly string[] | undefined;
  readonly sources: readonly string[] | undefined;
  readonly ids: readonly string[] | undefined;
  /** This level or a more serious one. */
  readonly level: EventLevel | undefined;
  /** CEL over `event` and `settings`, true or false. */
  readonly where: string | undefined;
  /** RE2, anywhere in the message. Its named groups are `match.<name>` in what follows. */
  readonly pattern: string | undefined;
}

/** Defaults that an override may change; CEL sees them as `settings.<name>`. */
export type Settings = Readonly<Record<string, number | string | boolean>>;

interface Watch {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  /** Labels and facts an agent must have: key → value, "*" for any value. */
  readonly requires: Readonly<Record<string, string>>;
  /** Whether it holds where no override says otherwise. */
  readonly enabled: boolean;
  readonly settings: Settings;
}

/** A text with `${CEL}` in it. */
export type Template = string;

export interface AlertSpec {
  /** Of a monitor: when absent, `warning` or `critical` as its state. */
  readonly severity: Severity | undefined;
  readonly title: Template;
  readonly description: Template;
  /** Of a rule: CEL; what has the same key is the same alert, repeated. Absent: one for the rule and agent. Of a monitor: the instance. */
  readonly key: string | undefined;
}

/** A task of a pack that is run on the same agent in answer; the server submits it, as any run. */
export interface TaskAnswer {
  /** Absent: this pack. */
  readonly pack: string | undefined;
  readonly task: string;
  /** Literals, or strings with `${CEL}` in them; a string that is one `${CEL}` keeps the type of its value. */
  readonly parameters: Readonly<Record<string, unknown>>;
  /** Not again on this agent (and instance) within this time, milliseconds. */
  readonly cooldownMs: number;
}

export interface PackRule extends Watch {
  /** Any of them. */
  readonly on: readonly EventMatch[];
  readonly condition:
    | { readonly kind: 'each' }
    /** `count` matches within `withinMs`, counted apart for each value of `by` (CEL). Then it counts anew. */
    | {
        readonly kind: 'threshold';
        readonly count: number;
        readonly withinMs: number;
        readonly by: string | undefined;
      }
    /** No match of `expect` with the same `by` within `withinMs` after a match of `on`. Once for each spell of waiting. */
    | {
        readonly kind: 'absence';
        readonly expect: readonly EventMatch[];
        readonly withinMs: number;
        readonly by: string | undefined;
      };
  readonly alert: AlertSpec | undefined;
  readonly run: TaskAnswer | undefined;
  /** Name of a counter: `openline_pack_events_total{metric="<pack>/<name>"}`. */
  readonly metric: string | undefined;
}

export type HealthState = 'healthy' | 'warning' | 'critical';

export type Probe =
  /**
   * `json`: standard output is the sample, an object, a list of objects, or an object per line; another exit code than 0 means that the probe
   * does not work. `text`: the sample is `{exit_code, stdout, stderr}`. The watch's settings reach the process as a task's parameters do.
   */
  | { readonly kind: 'run'; readonly runner: Exclude<Runner, { kind: 'builtin' }>; readonly output: 'json' | 'text' }
  /** Sample: `{ok, status, duration_ms, error, body_matches}`; redirects are not followed, `ok` is a status below 400 and a body that matches. */
  | {
      readonly kind: 'http';
      readonly url: Template;
      readonly method: 'GET' | 'HEAD';
      readonly pattern: string | undefined;
      readonly verifyTls: boolean;
    }
  /** Sample: `{ok, duration_ms, error}`. */
  | { readonly kind: 'tcp'; readonly host: Template; readonly port: number | Template }
  /** Sample: `{ok, answers, duration_ms, error}`. */
  | { readonly kind: 'dns'; readonly host: Template; readonly type: 'A' | 'AAAA' | 'CNAME' | 'MX' | 'TXT' | 'SRV' }
  /** Sample: `{count, pids}` of the processes whose name, or whole command line, matches. */
  | { readonly kind: 'process'; readonly name: Template | undefined; readonly pattern: Template | undefined }
  /** Sample: `{ok, of, subject, issuer, days_left, not_after, error}`, `of` being the file or host:port; a list when several files match. */
  | {
      readonly kind: 'certificate';
      readonly of: { readonly files: readonly Template[] } | { readonly host: Template; readonly port: number };
    };

export interface PackMonitor extends Watch {
  readonly input:
    | {
        readonly kind: 'probe';
        readonly everyMs: number;
        readonly timeoutMs: number;
        readonly probe: Probe;
        /** CEL over `sample`: which instance it speaks of (a mount point, a unit). Absent: the machine has one. */
        readonly instance: string | undefined;
        /** Least-squares slope of a CEL number over this time: `trend.per_hour`, and `trend.hours_to(limit)`. */
        readonly trend: { readonly value: string; readonly overMs: number } | undefined;
        /** CEL over `sample`, `settings`, `trend`; healthy when neither holds. */
        readonly warning: string | undefined;
        readonly critical: string | undefined;
        /** So many samples in a row before it gets worse. Default 1; better it gets at once. */
        readonly samples: number;
      }
    | {
        readonly kind: 'events';
        readonly warning: readonly EventMatch[];
        readonly critical: readonly EventMatch[];
        readonly healthy: readonly EventMatch[];
        /** CEL over `event`, `match`. */
        readonly instance: string | undefined;
      };
  /** What makes it healthy again, besides its input. `timer` is for events: so long after the last that was bad. */
  readonly reset:
    | { readonly kind: 'input' }
    | { readonly kind: 'timer'; readonly afterMs: number }
    /** A person: `openline monitors reset`. It stays as bad as it ever was until then. */
    | { readonly kind: 'manual' };
  readonly alert: (AlertSpec & { readonly from: 'warning' | 'critical' }) | undefined;
  /** Run when it gets worse; its outcome chooses the recovery. */
  readonly diagnostic: TaskAnswer | undefined;
  readonly recoveries: readonly Recovery[];
}

export interface Recovery extends TaskAnswer {
  readonly on: 'warning' | 'critical';
  /** CEL over `diagnostic` (`{state, exit_code, output}`) and `sample`. Absent: always. The first that holds is run. */
  readonly when: string | undefined;
  /** So often for one spell of ill health. */
  readonly most: number;
}
