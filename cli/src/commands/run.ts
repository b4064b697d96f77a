import { randomUUID } from 'node:crypto';
import { OfflinePolicy, PackServiceService, RunServiceService, type RunSpec } from '@openline/proto/operator';
import { parseDuration } from '../args/duration.ts';
import { collectParameters, collectReferences } from '../args/parameters.ts';
import type { OperatorClient } from '../client/client.ts';
import { CliError, EXIT, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { type Format, printDocument } from '../render/document.ts';
import { type TaskView, taskView } from '../views/pack.ts';
import { previewView, runView } from '../views/run.ts';
import { followRun } from '../watch/follow.ts';
import { interruptedBy } from '../watch/interrupts.ts';
import { type GlobalFlags, withClient } from './context.ts';
import { renderPreview } from './preview.ts';

/** What the commands that end in watching a run share. */
export interface WatchFlags {
  readonly output: Format;
  readonly follow?: boolean | undefined;
  readonly showOutput?: boolean | undefined;
  readonly cancelOnInterrupt?: boolean | undefined;
}

export interface RunFlags extends WatchFlags {
  readonly on?: string | undefined;
  readonly agent?: readonly string[] | undefined;
  readonly param?: readonly string[] | undefined;
  readonly paramFile?: readonly string[] | undefined;
  readonly paramsFile?: string | undefined;
  readonly paramFrom?: readonly string[] | undefined;
  readonly timeout?: string | undefined;
  readonly ttl?: string | undefined;
  readonly offline?: 'wait' | 'fail' | undefined;
  readonly idempotencyKey?: string | undefined;
  readonly dryRun?: boolean | undefined;
  readonly detach?: boolean | undefined;
  readonly yes?: boolean | undefined;
}

/** A server that restarts is back within this; a run that cannot be handed in for longer is an error. Milliseconds. */
const SUBMIT_FOR_MS = 15_000;

export function checkWatchFlags(flags: WatchFlags): void {
  if (flags.follow === true && flags.output !== 'table') {
    throw usageError(
      `--follow writes output as it comes, and -o ${flags.output} writes a document`,
      'Use --show-output with -o json or yaml; without -o, --follow streams.',
    );
  }
  if (flags.showOutput === true && flags.output === 'jsonl') {
    throw usageError('--show-output does not go with -o jsonl', 'Use -o json or yaml, or `openline runs output RUN`.');
  }
}

export function runCommand(taskRef: string, flags: RunFlags, global: GlobalFlags, io: Io): Promise<number> {
  checkWatchFlags(flags);
  const { packRef, taskName } = splitTask(taskRef);
  const targets = targetsOf(flags);
  const times = {
    timeoutMs: flags.timeout === undefined ? 0 : parseDuration(flags.timeout, '--timeout'),
    ttlMs: flags.ttl === undefined ? 0n : BigInt(parseDuration(flags.ttl, '--ttl')),
  };
  if (times.timeoutMs > 0xffff_ffff) throw usageError('--timeout is longer than 49 days', 'Give a shorter one.');
  return withClient(global, io, async (client) => {
    const task = await findTask(client, packRef, taskName);
    const parameters = await collectParameters(flags, task.parametersSchema, io);
    const spec: RunSpec = {
      task: taskRef,
      targets,
      parametersJson: JSON.stringify(parameters),
      parametersFrom: collectReferences(flags.paramFrom, parameters),
      ...times,
      offline: offlinePolicy(flags),
    };
    if (flags.dryRun === true) return dryRun(client, spec, flags, io);
    if (task.risk === 'dangerous' && flags.yes !== true && !(await confirmed(client, spec, io))) return EXIT.badRequest;
    return submit(client, spec, flags, io);
  });
}

/**
 * Fails fast unless told to wait: a person at a terminal wants to see at once which machines are away. --ttl only has a meaning for those
 * who wait, so it implies it.
 */
function offlinePolicy(flags: Pick<RunFlags, 'offline' | 'ttl'>): OfflinePolicy {
  const policy = flags.offline ?? (flags.ttl === undefined ? 'fail' : 'wait');
  return policy === 'wait' ? OfflinePolicy.OFFLINE_POLICY_WAIT : OfflinePolicy.OFFLINE_POLICY_FAIL;
}

/** The expression of --on, or the one that --agent stands for. @throws CliError REQUEST_INVALID */
export function targetsOf({ on, agent }: Pick<RunFlags, 'on' | 'agent'>): string {
  if (on !== undefined && agent !== undefined) {
    throw usageError('--on and --agent are two ways to say the same', 'Give one of them.');
  }
  if (on !== undefined) return on;
  if (agent === undefined) {
    throw usageError('no targets are given', 'Say which agents: --on all, --on role=web, or --agent NAME.');
  }
  const odd = agent.find((name) => !/^[^\s,()=!]+$/.test(name));
  if (odd !== undefined) throw usageError(`«${odd}» is no name of an agent`, 'Give one name with each --agent.');
  return agent.length === 1 ? `name=${agent[0]}` : `name in (${agent.join(',')})`;
}

const RUNS_COMMANDS = ['list', 'ls', 'show', 'watch', 'output', 'cancel', 'retry'];

export function splitTask(ref: string): { packRef: string; taskName: string } {
  const [packRef = '', taskName = '', ...rest] = ref.split('/');
  if (packRef === '' || taskName === '' || rest.length > 0) {
    throw usageError(
      `«${ref}» is not PACK/TASK`,
      RUNS_COMMANDS.includes(ref)
        ? `Did you mean \`openline runs ${ref}\`?`
        : 'Write it like linux/disk-usage; `openline packs list` shows the packs, `openline packs show PACK` its tasks.',
    );
  }
  const [name = '', version] = taskName.split('@');
  if (version !== undefined && !packRef.includes('@')) {
    throw usageError(`«${ref}»: the version stands behind the pack`, `Write ${packRef}@${version}/${name}.`);
  }
  return { packRef, taskName };
}

/** @throws OpenlineError PACK_UNKNOWN, TASK_UNKNOWN */
export async function findTask(client: OperatorClient, packRef: string, taskName: string): Promise<TaskView> {
  const { pack } = await client.unary(PackServiceService.getPack, { pack: packRef });
  const found = pack?.tasks.find((each) => each.name === taskName);
  if (found !== undefined) return taskView(found);
  const { closest } = await import('../args/closest.ts');
  const near = closest(taskName, pack?.tasks.map((each) => each.name) ?? []);
  throw new CliError(
    'TASK_UNKNOWN',
    `the pack ${packRef} has no task ${taskName}${near === undefined ? '' : `; did you mean ${near}?`}`,
    `\`openline packs show ${packRef}\` lists its tasks.`,
  );
}

async function dryRun(client: OperatorClient, spec: RunSpec, flags: RunFlags, io: Io): Promise<number> {
  const preview = previewView(await client.unary(RunServiceService.previewRun, { spec }));
  if (flags.output !== 'table') await printDocument(io, flags.output, preview);
  else {
    const waits = spec.offline === OfflinePolicy.OFFLINE_POLICY_WAIT;
    io.out.write(
      renderPreview(preview, waits, io.out.screen())
        .map((line) => `${line}\n`)
        .join(''),
    );
  }
  return EXIT.ok;
}

/** Asks a person; where nobody can be asked, --yes has to be said beforehand. */
async function confirmed(client: OperatorClient, spec: RunSpec, io: Io): Promise<boolean> {
  if (!io.stdinIsTTY || !io.err.screen().isTTY) {
    throw usageError(`${spec.task} is marked dangerous`, 'Look at it with --dry-run, then give --yes.');
  }
  const preview = previewView(await client.unary(RunServiceService.previewRun, { spec }));
  const count = preview.targets.length;
  const names = preview.targets
    .slice(0, 5)
    .map((target) => target.agent)
    .join(', ');
  const answer = await io.ask(
    `${spec.task} is marked dangerous. Run it on ${count} ${count === 1 ? 'agent' : 'agents'} (${names}${count > 5 ? ', …' : ''})? Type yes: `,
  );
  if (answer.trim().toLowerCase() === 'yes') return true;
  io.err.write('nothing was run\n');
  return false;
}

async function submit(client: OperatorClient, spec: RunSpec, flags: RunFlags, io: Io): Promise<number> {
  // A key of our own makes it safe to hand the run in again when the connection breaks before the answer.
  const idempotencyKey = flags.idempotencyKey ?? `cli-${randomUUID()}`;
  const answer = untilInterrupted(
    io,
    client.unaryPatient(RunServiceService.submitRun, { spec, idempotencyKey }, SUBMIT_FOR_MS),
  );
  const submitted = await answer;
  if (typeof submitted === 'number') {
    io.err.write('interrupted before the server answered; the run may have been taken.\n→ see: `openline runs list`\n');
    return submitted;
  }
  const { run, existing } = submitted;
  if (run === undefined)
    throw new CliError(
      'INTERNAL',
      'the server took the run and did not name it',
      'Upgrade the older of server and CLI.',
    );
  if (existing && flags.idempotencyKey !== undefined)
    io.err.write(`the idempotency key names run ${run.id}, which exists already\n`);
  return detachOrFollow(client, run.id, flags, io, async () => {
    if (flags.output === 'table') io.out.write(`${run.id}\n`);
    else await printDocument(io, flags.output, runView(run));
  });
}

/** @returns the exit code */
export async function detachOrFollow(
  client: OperatorClient,
  runId: string,
  flags: WatchFlags & { readonly detach?: boolean | undefined },
  io: Io,
  detached: () => Promise<void>,
): Promise<number> {
  if (flags.detach === true) {
    await detached();
    if (flags.output === 'table') io.err.write(`→ watch it: \`openline runs watch ${runId}\`\n`);
    return EXIT.ok;
  }
  return followRun(client, runId, followOptions(flags), io);
}

export function followOptions(flags: WatchFlags) {
  return {
    format: flags.output,
    follow: flags.follow === true,
    showOutput: flags.showOutput === true,
    cancelOnInterrupt: flags.cancelOnInterrupt === true,
  };
}

/** @returns the work's value, or the exit code when Ctrl-C came first */
async function untilInterrupted<T>(io: Io, work: Promise<T>): Promise<T | number> {
  let close = () => {};
  const interrupted = new Promise<number>((resolve) => {
    close = io.onInterrupt((signal) => resolve(interruptedBy(signal)));
  });
  try {
    return await Promise.race([work, interrupted]);
  } finally {
    close();
  }
}
