import { runCli } from './cli.ts';
import { processIo } from './io.ts';

// A reader that has seen enough (`| head`) is no error; 128 + SIGPIPE, as any Unix tool ends.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(141);
    if (stream === process.stderr) return; // nothing is left to say it with; the exit code does
    // What was asked for may be done, but nobody could read it: a script must not take the part for the whole.
    process.stderr.write(`error the output cannot be written: ${error.message}\n→ Make room where it goes to.\n`);
    process.exit(1);
  });
}

const io = processIo();
const exitCode = await runCli(process.argv.slice(2), io).catch(async (error: unknown) => {
  const { exitCodeOf, renderFailure } = await import('./failure.ts');
  io.err.write(
    renderFailure(error, io.err.screen())
      .map((line) => `${line}\n`)
      .join(''),
  );
  return exitCodeOf(error);
});
await Promise.all([io.out.drained(), io.err.drained()]);
process.exit(exitCode);
