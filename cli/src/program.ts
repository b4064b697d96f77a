import { Command, Option } from 'commander';
import type { GlobalFlags, OutputFlag } from './commands/context.ts';
import type { ExportFlags } from './commands/context-transfer.ts';
import type { RunFlags, WatchFlags } from './commands/run.ts';
import type { CreateTokenFlags } from './commands/tokens.ts';
import type { Io } from './io.ts';
import { addAlerts } from './program-alerts.ts';
import { addAuthority } from './program-authority.ts';
import { addDeclared } from './program-declared.ts';
import { addHealth } from './program-health.ts';
import { addNotifications } from './program-notifications.ts';
import { VERSION } from './version.ts';

/** Written out, so that `--help` need not load what writes YAML. */
const FORMATS = ['table', 'json', 'yaml', 'jsonl'];

const TARGETS_HELP = `
Targets (--on): «all», or terms joined by commas, which must all hold:
  name=web-1        that agent             role=web          label or fact equals
  role!=db          differs, or is absent  role in (web,api) one of
  role notin (db)   none of, or absent     gpu   !gpu        present, absent
Exit codes: 0 all succeeded, 1 not all did, 2 bad request, 130 interrupted (the run goes on).`;

/** Everything that `openline` understands. Commands load what they need when they run: this must be quick. */
export function buildProgram(io: Io, done: (exitCode: number) => void): Command {
  const program = new Command('openline')
    .description('Run a task on many machines, now, over the line that each of them keeps open.')
    .version(`openline ${VERSION}`, '-V, --version', 'print the version')
    .option('--server <host:port>', 'the management server (env: OPENLINE_SERVER)')
    .option(
      '--token <token>',
      'the token; it shows in the process list, so prefer a context or the environment (env: OPENLINE_TOKEN)',
    )
    .option('--ca <file>', 'PEM file of the CA that signed the server’s certificate (env: OPENLINE_CA)')
    .option('--context <name>', 'the context of the config file (env: OPENLINE_CONTEXT)')
    .option('-v, --verbose', 'say which server is asked, and details of errors')
    .helpOption('-h, --help', 'show help')
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError(true)
    .exitOverride();
  // The environment is read in config/locate.ts, which knows its precedence.

  const output = () =>
    new Option('-o, --output <format>', 'table, json, yaml or jsonl').choices(FORMATS).default('table');
  /** Flags given before or after the command's name. */
  const flagsOf = (command: Command): GlobalFlags => command.optsWithGlobals<GlobalFlags>();
  const collect = (value: string, before: string[] | undefined) => [...(before ?? []), value];
  const run = (work: Promise<number>) => work.then(done);

  const watchOptions = (command: Command) =>
    command
      .option('--follow', 'write output as it comes, behind the agent’s name when there are several')
      .option('--show-output', 'write the output of every target at the end (of a single one: always)')
      .option('--cancel-on-interrupt', 'Ctrl-C cancels the run and waits for its ends')
      .addOption(output());

  watchOptions(
    program
      .command('run')
      .description('run a task and watch it')
      .argument('<pack/task>', 'the task, e.g. linux/disk-usage; pack@version/task for an older pack')
      .option('--on <targets>', 'which agents: all, name=web-1, role=web,env!=prod')
      .option('--agent <name>', 'this agent; repeat it for more (instead of --on)', collect)
      .option('-p, --param <name=value>', 'a parameter; repeat it for more', collect)
      .option('--param-file <name=path>', 'a parameter whose value is the text of a file', collect)
      .option('--params-file <file>', 'all parameters as a JSON or YAML object; - reads standard input')
      .option(
        '--param-from <name=property>',
        'a parameter that each agent puts in itself: label:KEY, fact:KEY or name',
        collect,
      )
      .option('--timeout <time>', 'how long the task may take on an agent, e.g. 30s (default: the task’s own)')
      .option('--ttl <time>', 'how long it may wait to start, e.g. 1h (default: the server’s); implies --offline wait')
      .addOption(
        new Option(
          '--offline <policy>',
          'for agents that are offline: fail at once, or wait until the ttl ends (default: fail)',
        ).choices(['wait', 'fail']),
      )
      .option('--idempotency-key <key>', 'the same key again gives the same run, not a second one')
      .option('--dry-run', 'show who would run it, who is offline and who does not hold the pack; run nothing')
      .option('-d, --detach', 'print the id of the run and leave')
      .option('-y, --yes', 'do not ask before a task that is marked dangerous'),
  )
    .addHelpText('after', TARGETS_HELP)
    .action(async (task: string, flags: RunFlags, command: Command) =>
      run((await import('./commands/run.ts')).runCommand(task, flags, flagsOf(command), io)),
    );

  const runs = program.command('runs').description('runs: list, show, watch, output, cancel, retry');
  runs
    .command('list', { isDefault: true })
    .alias('ls')
    .description('list runs, newest first')
    .option('-n, --limit <count>', 'at most so many', '50')
    .option('--open', 'only runs that have not ended')
    .option('--task <pack/task>', 'only runs of that task')
    .addOption(output())
    .action(async (flags: OutputFlag & { limit: string; open?: boolean; task?: string }, command: Command) =>
      run((await import('./commands/runs.ts')).listRuns(flags, flagsOf(command), io)),
    );
  runs
    .command('show')
    .description('show a run and each of its targets')
    .argument('<run>', 'id of the run, or as much of its beginning as names it alone')
    .option('--show-output', 'with the output of every target')
    .addOption(output())
    .action(async (id: string, flags: WatchFlags, command: Command) =>
      run((await import('./commands/runs.ts')).showRun(id, flags, flagsOf(command), io)),
    );
  watchOptions(
    runs
      .command('watch')
      .description('watch a run to its end, as `openline run` does')
      .argument('<run>', 'id of the run, or as much of its beginning as names it alone'),
  ).action(async (id: string, flags: WatchFlags, command: Command) =>
    run((await import('./commands/runs.ts')).watchRunCommand(id, flags, flagsOf(command), io)),
  );
  runs
    .command('output')
    .description(
      'write the kept output: of one target its bytes (stdout and stderr apart), of several their lines behind their names',
    )
    .argument('<run>', 'id of the run, or as much of its beginning as names it alone')
    .option('-t, --target <agent>', 'only of this agent; repeat it for more', collect)
    .option('-f, --follow', 'go on until every target has ended')
    .option('--from <offset>', 'begin at this byte; needs one target')
    .action(async (id: string, flags: { target?: string[]; follow?: boolean; from?: string }, command: Command) =>
      run((await import('./commands/runs.ts')).outputCommand(id, flags, flagsOf(command), io)),
    );
  runs
    .command('cancel')
    .description('cancel what has not ended')
    .argument('<run>', 'id of the run, or as much of its beginning as names it alone')
    .addOption(output())
    .action(async (id: string, flags: OutputFlag, command: Command) =>
      run((await import('./commands/runs.ts')).cancelCommand(id, flags, flagsOf(command), io)),
    );
  watchOptions(
    runs
      .command('retry')
      .description('a new run of the same task and parameters on the targets that did not succeed')
      .argument('<run>', 'id of the run, or as much of its beginning as names it alone')
      .option('--idempotency-key <key>', 'the same key again gives the same run, not another one')
      .option('-d, --detach', 'print the id of the new run and leave'),
  ).action(async (id: string, flags: WatchFlags & { detach?: boolean; idempotencyKey?: string }, command: Command) =>
    run((await import('./commands/runs.ts')).retryCommand(id, flags, flagsOf(command), io)),
  );

  const agents = program.command('agents').description('agents: list, show, revoke, delete');
  agents
    .command('list', { isDefault: true })
    .alias('ls')
    .description('list agents')
    .option('-l, --selector <targets>', 'only those, e.g. role=web,os=linux')
    .option('--all', 'revoked ones too')
    .addOption(output())
    .action(async (flags: OutputFlag & { selector?: string; all?: boolean }, command: Command) =>
      run((await import('./commands/agents.ts')).listAgents(flags, flagsOf(command), io)),
    );
  agents
    .command('show')
    .description('show labels, facts, packs and the link of one agent')
    .argument('<agent>', 'name or id')
    .addOption(output())
    .action(async (name: string, flags: OutputFlag, command: Command) =>
      run((await import('./commands/agents.ts')).showAgent(name, flags, flagsOf(command), io)),
    );
  agents
    .command('revoke')
    .description('end its link and never accept its certificate again')
    .argument('<agent>', 'name or id')
    .option('--reason <text>', 'for the audit log')
    .action(async (name: string, flags: { reason?: string }, command: Command) =>
      run((await import('./commands/agents.ts')).revokeAgent(name, flags, flagsOf(command), io)),
    );
  agents
    .command('delete')
    .description('remove an agent that is not connected from every list')
    .argument('<agent>', 'name or id')
    .action(async (name: string, _flags: object, command: Command) =>
      run((await import('./commands/agents.ts')).deleteAgent(name, flagsOf(command), io)),
    );

  addPacks(program, { io, output, flagsOf, collect, run });
  addAccess(program, { io, output, flagsOf, collect, run });
  addAlerts(program, { io, output, flagsOf, collect, run });
  addHealth(program, { io, output, flagsOf, collect, run });
  addNotifications(program, { io, output, flagsOf, collect, run });
  addDeclared(program, { io, output, flagsOf, collect, run });
  addAuthority(program, { io, output, flagsOf, collect, run });
  addLocal(program, { io, output, flagsOf, collect, run });
  return program;
}

export interface Tools {
  readonly io: Io;
  output(): Option;
  flagsOf(command: Command): GlobalFlags;
  collect(value: string, before: string[] | undefined): string[];
  run(work: Promise<number>): Promise<void>;
}

function addPacks(program: Command, { io, output, flagsOf, collect, run }: Tools): void {
  const packs = program
    .command('packs')
    .description('packs: list, show, push, pull, remove, sign, verify, keygen, lint, test');
  packs
    .command('list', { isDefault: true })
    .alias('ls')
    .description('list packs, and how many agents hold them')
    .addOption(output())
    .action(async (flags: OutputFlag, command: Command) =>
      run((await import('./commands/packs.ts')).listPacks(flags, flagsOf(command), io)),
    );
  packs
    .command('show')
    .description('show a pack and its tasks, or a task with its parameters and examples')
    .argument('<pack[/task]>', 'e.g. linux or linux/disk-usage; pack@version for an older one')
    .addOption(output())
    .action(async (ref: string, flags: OutputFlag, command: Command) =>
      run((await import('./commands/packs.ts')).showPack(ref, flags, flagsOf(command), io)),
    );
  packs
    .command('push')
    .description('sign packs, or take their .minisig, and give them to the server, which gives them to the agents')
    .argument('<file...>', 'pack files; utility and linux name the shipped ones')
    .option(
      '--key <file>',
      'secret key to sign with (default: FILE.minisig, else the key of the server on this machine)',
    )
    .addOption(output())
    .action(async (files: string[], flags: OutputFlag & { key?: string }, command: Command) =>
      run((await import('./commands/packs.ts')).pushPacks(files, flags, flagsOf(command), io)),
    );
  packs
    .command('pull')
    .description('write a pack and its signature to files')
    .argument('<pack>', 'name or name@version')
    .option('--dir <folder>', 'where to (default: here)')
    .action(async (ref: string, flags: { dir?: string }, command: Command) =>
      run((await import('./commands/packs.ts')).pullPack(ref, flags, flagsOf(command), io)),
    );
  packs
    .command('remove')
    .description('take a pack from the server and from every agent')
    .argument('<pack>', 'its name')
    .action(async (name: string, _flags: object, command: Command) =>
      run((await import('./commands/packs.ts')).removePack(name, flagsOf(command), io)),
    );
  packs
    .command('sign')
    .description('write FILE.minisig')
    .argument('<file...>', 'pack files')
    .option('--key <file>', 'secret key (default: the key of the server on this machine)')
    .action(async (files: string[], flags: { key?: string }) =>
      run((await import('./commands/pack-files.ts')).signCommand(files, flags, io)),
    );
  packs
    .command('verify')
    .description('check FILE.minisig')
    .argument('<file...>', 'pack files')
    .option(
      '--public-key <file or key>',
      'trusted key; repeat it for more (default: those of the server on this machine)',
      collect,
    )
    .action(async (files: string[], flags: { publicKey?: string[] }) =>
      run((await import('./commands/pack-files.ts')).verifyCommand(files, flags, io)),
    );
  packs
    .command('keygen')
    .description('make a key pair: PREFIX.key (secret) and PREFIX.pub')
    .argument('[prefix]', 'path without its ending', 'packs')
    .action(async (prefix: string) => run((await import('./commands/pack-files.ts')).keygenCommand(prefix, io)));
  packs
    .command('lint')
    .description('check pack files without a server; problems as file:line:column')
    .argument('<file...>', 'pack files')
    .action(async (files: string[]) => run((await import('./commands/pack-files.ts')).lintCommand(files, io)));
  packs
    .command('test')
    .description(
      'play the tests of packs, NAME.test.yaml beside NAME.yaml: events and samples in, states and alerts out',
    )
    .argument('[path...]', 'tests, packs, or folders with them (default: this folder)')
    .action(async (paths: string[]) => run((await import('./commands/pack-test.ts')).testCommand(paths, io)));
}

const roleOption = () =>
  new Option('--role <role>', 'what an operator may do (default: operator)').choices(['viewer', 'operator', 'admin']);

function addAccess(program: Command, { io, output, flagsOf, collect, run }: Tools): void {
  const tokens = program.command('tokens').description('tokens of operators and for joining: create, list, revoke');
  tokens
    .command('create')
    .description('make a token; its secret is shown once')
    .argument('[name]', 'whose it is: the audit log says it')
    .option('--join', 'a single-use token for a new agent; prints the complete command for its machine')
    .addOption(roleOption())
    .option('--ttl <time>', 'how long it is valid, e.g. 30d (default: operator tokens for ever, join tokens 24h)')
    .option(
      '--label <key=value>',
      'join tokens: a label that the agent gets and cannot change; repeat it for more',
      collect,
    )
    .addOption(output())
    .action(async (name: string | undefined, flags: CreateTokenFlags, command: Command) =>
      run((await import('./commands/tokens.ts')).createToken(name, flags, flagsOf(command), io)),
    );
  tokens
    .command('list', { isDefault: true })
    .alias('ls')
    .description('list tokens, never their secrets')
    .addOption(output())
    .action(async (flags: OutputFlag, command: Command) =>
      run((await import('./commands/tokens.ts')).listTokens(flags, flagsOf(command), io)),
    );
  tokens
    .command('revoke')
    .description('make a token worthless, now')
    .argument('<id>', 'id of the token')
    .action(async (id: string, _flags: object, command: Command) =>
      run((await import('./commands/tokens.ts')).revokeToken(id, flagsOf(command), io)),
    );

  program
    .command('audit')
    .description('who did what, to what, when; newest first')
    .option('-n, --limit <count>', 'at most so many', '50')
    .addOption(output())
    .action(async (flags: OutputFlag & { limit: string }, command: Command) =>
      run((await import('./commands/audit.ts')).listAudit(flags, flagsOf(command), io)),
    );
  program
    .command('trace')
    .description('the wire view of one agent’s link: each frame as it passes, and what it costs in bytes')
    .argument('<agent>', 'name or id')
    .option('-n, --count <frames>', 'end after so many frames')
    .addOption(new Option('-o, --output <format>', 'table or jsonl').choices(FORMATS).default('table'))
    .action(async (agent: string, flags: OutputFlag & { count?: string }, command: Command) =>
      run((await import('./commands/trace.ts')).traceCommand(agent, flags, flagsOf(command), io)),
    );
  program
    .command('doctor')
    .description('check the way to the server, the token, clocks, certificates, agents and packs')
    .addOption(output())
    .action(async (flags: OutputFlag, command: Command) =>
      run((await import('./commands/doctor.ts')).doctorCommand(flags, flagsOf(command), io)),
    );
  program
    .command('whoami')
    .description('who the server takes you for, and which server it is')
    .addOption(output())
    .action(async (flags: OutputFlag, command: Command) =>
      run((await import('./commands/whoami.ts')).whoAmI(flags, flagsOf(command), io)),
    );
}

function addLocal(program: Command, { io, output, flagsOf, run }: Tools): void {
  const context = program
    .command('context')
    .description('contexts of the config file: list, use, set, delete, show, export, import');
  context
    .command('list', { isDefault: true })
    .alias('ls')
    .description('list contexts')
    .addOption(output())
    .action(async (flags: OutputFlag) => run((await import('./commands/contexts.ts')).listContexts(flags, io)));
  context
    .command('use')
    .description('make a context the current one')
    .argument('<name>', 'its name')
    .action(async (name: string) => run((await import('./commands/contexts.ts')).useContext(name, io)));
  context
    .command('set')
    .description('make or change a context from --server, --ca and --token (--token - reads standard input)')
    .argument('<name>', 'its name')
    .action(async (name: string, _flags: object, command: Command) =>
      run((await import('./commands/contexts.ts')).setContext(name, flagsOf(command), io)),
    );
  context
    .command('delete')
    .description('remove a context, with the token that it holds')
    .argument('<name>', 'its name')
    .action(async (name: string) => run((await import('./commands/contexts.ts')).deleteContext(name, io)));
  context
    .command('show')
    .description('which server would be asked, and why')
    .addOption(output())
    .action(async (flags: OutputFlag, command: Command) =>
      run((await import('./commands/contexts.ts')).showContext(flags, flagsOf(command), io)),
    );

  context
    .command('export')
    .description('make a token for somebody, and print a context with it and the CA, for `openline context import`')
    .argument('<name>', 'what the context is to be called there')
    .requiredOption('--for <name>', 'whose token it is: the audit log says it')
    .addOption(roleOption())
    .option('--ttl <time>', 'how long the token is valid', '30d')
    .option('--address <host:port>', 'what they reach the server by (default: what is asked here)')
    .action(async (name: string, flags: ExportFlags, command: Command) =>
      run((await import('./commands/context-transfer.ts')).exportContext(name, flags, flagsOf(command), io)),
    );
  context
    .command('import')
    .description(
      'take contexts that `openline context export` printed into the config file; the current one there is the current one here',
    )
    .argument('[file]', 'the file; - reads standard input', '-')
    .action(async (file: string) => run((await import('./commands/context-transfer.ts')).importContexts(file, io)));

  // These two never come here with arguments (cli.ts passes them on whole); they stand here for the help.
  program
    .command('server')
    .description('run a management server; `openline server --help` lists its flags')
    .action(() => {});
  program
    .command('agent')
    .description('run an agent; `openline agent --help` lists its flags')
    .action(() => {});
  program
    .command('completion')
    .description('print the script that completes openline’s commands, tasks, agents and runs in a shell')
    .argument('<shell>', 'bash, zsh or fish')
    .action(async (shell: string) => run((await import('./completion/completion.ts')).completionScript(shell, io)));
  program
    .command('version')
    .description('print the version')
    .addOption(output())
    .action(async (flags: OutputFlag) => run((await import('./commands/whoami.ts')).version(flags, io)));
}
