import type { Pack, PackTask } from '@openline/proto/operator';
import { isObject } from '../args/parameters.ts';
import { hex, iso, json } from './values.ts';

/** A pack as `-o json` shows it. Public: fields are added, never renamed or removed. */
export interface PackView {
  name: string;
  version: string;
  /** SHA-256 of its bytes, hexadecimal. */
  digest: string;
  title: string;
  description: string;
  /** minisign key id, hexadecimal. */
  keyId: string;
  pushedAt: string | null;
  pushedBy: string;
  readyAgents: number;
  refusedAgents: number;
  connectedAgents: number;
  tasks: TaskView[];
  ruleCount: number;
  monitorCount: number;
}

export interface TaskView {
  name: string;
  title: string;
  description: string;
  risk: string;
  timeoutMs: number;
  runner: string;
  requires: Record<string, unknown>;
  /** JSON Schema 2020-12 of the parameters object. */
  parametersSchema: Record<string, unknown>;
  /** Parameters objects. */
  examples: unknown[];
}

export function packView(pack: Pack): PackView {
  return {
    name: pack.name,
    version: pack.version,
    digest: hex(pack.digest),
    title: pack.title,
    description: pack.description,
    keyId: pack.keyId,
    pushedAt: iso(pack.pushedUnixMs),
    pushedBy: pack.pushedBy,
    readyAgents: pack.readyAgents,
    refusedAgents: pack.refusedAgents,
    connectedAgents: pack.connectedAgents,
    tasks: pack.tasks.map(taskView),
    ruleCount: pack.ruleCount,
    monitorCount: pack.monitorCount,
  };
}

export function taskView(task: PackTask): TaskView {
  return {
    name: task.name,
    title: task.title,
    description: task.description,
    risk: task.risk,
    timeoutMs: task.timeoutMs,
    runner: task.runner,
    requires: objectOf(task.requiresJson),
    parametersSchema: objectOf(task.parametersSchemaJson),
    examples: task.examplesJson.map((each) => json(each, null)),
  };
}

function objectOf(text: string): Record<string, unknown> {
  const value = json(text, {});
  return isObject(value) ? value : {};
}
