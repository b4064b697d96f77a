import { RunServiceService } from '@openline/proto/operator';
import { type Operator, stateName } from '../harness/operator.ts';
import { type Shell, startShell } from './children.ts';
import { command } from './screen.ts';

/** What became of a run on one agent, as the server keeps it. */
export interface Ended {
  readonly agent: string;
  readonly state: string;
  readonly exitCode: number | undefined;
  readonly output: string;
}

export interface Done {
  /** "exit code 0", or the signal that ended it. */
  readonly how: string;
  /** Only of a command whose output was kept, and so not shown. */
  readonly stdout: string;
}

/** No command of the demo takes longer. */
const COMMAND_WITHIN_MS = 60_000;

/** Shows the command and runs it; its output goes where ours goes. */
export async function type(line: string, during?: (shell: Shell) => Promise<void>): Promise<Done> {
  command(line);
  return await perform(line, false, during);
}

/** Shows the command and runs it as in a second terminal: what it writes is for the caller to show. */
export async function typeAside(line: string, during: (shell: Shell) => Promise<void>): Promise<Done> {
  command(`${line} &`);
  return await perform(line, true, during);
}

/** Runs it unseen. */
export function ask(line: string): Promise<Done> {
  return perform(line, true);
}

async function perform(line: string, keep: boolean, during = async (_shell: Shell) => {}): Promise<Done> {
  const shell = startShell(line, keep);
  const timer = setTimeout(() => shell.signal('SIGTERM'), COMMAND_WITHIN_MS);
  try {
    await during(shell);
    return { how: await shell.exited, stdout: shell.stdout() };
  } catch (error) {
    shell.signal('SIGTERM');
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** The newest run, from the server and not from what was shown. */
export async function newestRun(operator: Operator): Promise<{ id: string; task: string; ends: Ended[] }> {
  const { runs } = await operator.unary(RunServiceService.listRuns, {
    limit: 1,
    pageToken: '',
    openOnly: false,
    task: '',
  });
  const run = runs[0];
  if (run === undefined) throw new Error('the server knows no run');
  const { dispatches } = await operator.getRun(run.id);
  const ends = await Promise.all(
    dispatches.map(async ({ agentId, agentName, state, exitCode }) => ({
      agent: agentName,
      state: stateName(state),
      exitCode,
      output: (await operator.output(run.id, agentId, false)).data.toString('utf8'),
    })),
  );
  return { id: run.id, task: run.spec?.task ?? '', ends };
}
