import type { PackMonitor, PackRule } from './monitoring.ts';

/** A parsed, validated pack: what tasks there are and how they run, and what is watched for. docs/packs.md is the guide; schema/pack.schema.json is for editors. */
export interface Pack {
  readonly name: string;
  /** Semantic version. */
  readonly version: string;
  readonly title: string;
  readonly description: string;
  readonly tasks: ReadonlyMap<string, PackTask>;
  readonly rules: ReadonlyMap<string, PackRule>;
  readonly monitors: ReadonlyMap<string, PackMonitor>;
}

export type Risk = 'read' | 'change' | 'dangerous';

export interface PackTask {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly risk: Risk;
  /** From start to end, milliseconds. */
  readonly timeoutMs: number;
  /** Exit codes that mean success. Default [0]. */
  readonly successCodes: readonly number[];
  /** Labels and facts a target must have: key → value, "*" for any value. */
  readonly requires: Readonly<Record<string, string>>;
  /** Whether it may run on an agent that is in maintenance. Default run. */
  readonly maintenance: 'run' | 'refuse';
  /** JSON Schema 2020-12 of the parameters object; `additionalProperties: false` always. */
  readonly parametersSchema: Readonly<Record<string, unknown>>;
  readonly runner: Runner;
  readonly examples: readonly TaskExample[];
}

export interface TaskExample {
  readonly title: string;
  readonly parameters: Readonly<Record<string, unknown>>;
}

export type Interpreter = 'sh' | 'bash' | 'python3' | 'node' | 'pwsh';

/** An argv element: literal text, or the value of one parameter as one element (left out when the parameter is absent). Never spliced. */
export type Argument =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'parameter'; readonly name: string };

export type Runner =
  | { readonly kind: 'command'; readonly program: string; readonly args: readonly Argument[] }
  | { readonly kind: 'script'; readonly interpreter: Interpreter; readonly source: string }
  | { readonly kind: 'builtin'; readonly name: Builtin };

/** ping: answers at once, starts no process. event: appends a test event to the agent's own event log. */
export type Builtin = 'ping' | 'event';
