import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { coerceSome, type PackTask, type Runner } from '@openline/packs';
import { OutputStream, type Task, type TaskOutput, type TaskReports, TaskResult } from '@openline/proto/agent';
import { OpenlineError } from '@openline/proto/errors';
import type { ReadyTask, TaskLookup } from '../../packs/library.ts';
import type { EngineLog } from '../clock.ts';
import type { TaskEngine, Uplink } from '../engine.ts';
import { createTaskEngine, type TaskEngineConfig, type TaskEngineDeps } from '../task-engine.ts';

/** For tests only: real engines, real files and real processes; only the server and the pack library stand in. */

export const quiet: EngineLog = { info() {}, warn() {}, error() {} };

export function tempDir(): string {
  return mkdtempSync(join(tmpdir(), 'openline-tasks-'));
}

export function removeDir(path: string): void {
  rmSync(path, { recursive: true, force: true });
}

export function packTask(name: string, runner: Runner, more: Partial<PackTask> = {}): PackTask {
  return {
    name,
    title: name,
    description: '',
    risk: 'read',
    timeoutMs: 20_000,
    successCodes: [0],
    requires: {},
    maintenance: 'run',
    parametersSchema: {},
    runner,
    examples: [],
    ...more,
  };
}

/** `sh -c SCRIPT` as a command task; parameters come as OPENLINE_PARAM_…. */
export function shell(script: string, more: Partial<PackTask> = {}): PackTask {
  const args = [
    { kind: 'literal', text: '-c' },
    { kind: 'literal', text: script },
  ] as const;
  return packTask('shell', { kind: 'command', program: 'sh', args }, more);
}

export const ping = packTask('ping', { kind: 'builtin', name: 'ping' });

/** Takes any parameters; those that are text still are whole numbers where the schema says so. */
export function ready(task: PackTask, scriptPath?: string): TaskLookup {
  const validate: ReadyTask['validate'] = (parameters, asText = []) => {
    if (typeof parameters !== 'object' || parameters === null)
      throw new OpenlineError('PARAMETERS_INVALID', 'no object');
    return coerceSome(task, parameters, asText);
  };
  return { kind: 'ready', ready: { packName: 'test', packVersion: '1.0.0', task, scriptPath, validate } };
}

export function offerOf(runId: string, taskName = 'shell', more: Partial<Task> = {}): Task {
  return {
    runId,
    packName: 'test',
    packDigest: Buffer.alloc(32),
    taskName,
    parametersJson: '{}',
    parametersFrom: {},
    timeoutMs: 20_000,
    expiresInMs: 60_000n,
    ...more,
  };
}

/** What a server would have seen. */
export interface Seen {
  readonly uplink: Uplink;
  readonly messages: TaskReports[];
  readonly chunks: TaskOutput[];
  taking: boolean;
  results(runId: string): TaskResult[];
  accepted(runId: string): number;
  started(runId: string): number;
  progress(runId: string): { percent?: number | undefined; note: string }[];
  /** Checks that chunks are contiguous and that a repeated chunk is the same chunk. */
  output(runId: string, stream?: OutputStream): string;
  result(runId: string, withinMs?: number): Promise<TaskResult>;
}

export function server(): Seen {
  const messages: TaskReports[] = [];
  const chunks: TaskOutput[] = [];
  const seen: Seen = {
    messages,
    chunks,
    taking: true,
    uplink: {
      reports(reports) {
        if (seen.taking) messages.push(reports);
        return seen.taking;
      },
      output(chunk) {
        if (seen.taking) chunks.push(chunk);
        return seen.taking;
      },
    },
    results: (runId) => messages.flatMap((m) => m.results).filter((r) => r.runId === runId),
    accepted: (runId) => messages.flatMap((m) => m.accepted).filter((r) => r.runId === runId).length,
    started: (runId) => messages.flatMap((m) => m.started).filter((r) => r.runId === runId).length,
    progress: (runId) => messages.flatMap((m) => m.progress).filter((r) => r.runId === runId),
    output(runId, stream) {
      const byOffset = new Map<bigint, TaskOutput>();
      for (const chunk of chunks.filter((c) => c.runId === runId)) {
        const before = byOffset.get(chunk.offset);
        if (before !== undefined && !(before.stream === chunk.stream && before.data.equals(chunk.data))) {
          throw new Error(`the chunk at ${chunk.offset} came again and was another`);
        }
        byOffset.set(chunk.offset, chunk);
      }
      let at = 0n;
      const parts: Buffer[] = [];
      for (const chunk of [...byOffset.values()].sort((a, b) => Number(a.offset - b.offset))) {
        if (chunk.offset !== at) throw new Error(`a hole at ${at}`);
        at += BigInt(chunk.data.length);
        if (stream === undefined || chunk.stream === stream) parts.push(chunk.data);
      }
      return Buffer.concat(parts).toString('latin1');
    },
    async result(runId, withinMs = 15_000) {
      await until(() => seen.results(runId).length > 0, withinMs, `a result of ${runId}`);
      return seen.results(runId)[0] ?? TaskResult.create();
    },
  };
  return seen;
}

export const STDOUT = OutputStream.OUTPUT_STREAM_STDOUT;
export const STDERR = OutputStream.OUTPUT_STREAM_STDERR;

export async function until(condition: () => boolean, withinMs = 25_000, what = 'it'): Promise<void> {
  const endMs = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > endMs) throw new Error(`${what} did not come within ${withinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export function tasksOf(...tasks: PackTask[]): TaskEngineDeps['packs'] {
  return {
    lookup(_digest, name) {
      const task = tasks.find((one) => one.name === name);
      return task === undefined ? { kind: 'absent', code: 'TASK_UNKNOWN', reason: `no task ${name}` } : ready(task);
    },
  };
}

export function startEngine(
  dataDir: string,
  seen: Seen,
  packs: TaskEngineDeps['packs'],
  more: Partial<TaskEngineConfig> = {},
  deps: Partial<TaskEngineDeps> = {},
): Promise<TaskEngine> {
  return createTaskEngine(
    { uplink: seen.uplink, packs, log: quiet, ...deps },
    { dataDir, agentName: 'test-agent', interpreters: { sh: '/bin/sh' }, killGraceMs: 300, ...more },
  );
}

/** A zombie is not alive. */
export function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    return false;
  }
}
