/**
 * Replaces this process (the same pid, files and arguments) by one with these flags of Node, unless it has them, so that nobody who
 * starts a server or an agent has to know them. Does nothing where that cannot be done: run from source (types are stripped by
 * WebAssembly, which `--jitless` forbids), under a debugger, on Windows.
 * @param environment added to the environment of the new one
 */
export function replaceProcess(flags: readonly string[], environment: Readonly<Record<string, string>> = {}): void {
  const { execve, execArgv, argv, env, execPath, platform } = process;
  const has = flags.every((flag) => execArgv.includes(flag));
  const fromSource = argv[1]?.endsWith('.ts') ?? true;
  if (has || fromSource || platform === 'win32' || execArgv.some((arg) => arg.startsWith('--inspect'))) return;
  // Experimental in Node 24: where it is gone, or refused, the process is only larger.
  if (typeof execve !== 'function') return;
  const rest = execArgv.filter((arg) => !flags.includes(arg));
  execve.call(process, execPath, [execPath, ...flags, ...rest, ...argv.slice(1)], { ...env, ...environment });
}
