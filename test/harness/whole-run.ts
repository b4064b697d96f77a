const ENDS_WITHIN_MS = 60_000;

/** After the last test vitest ends soon, whatever keeps it: what was left running by a file that could not be loaded, say, whose hooks do not run. */
export default function setup(): () => void {
  return () => {
    const timer = setTimeout(() => {
      console.error(`vitest still waits ${ENDS_WITHIN_MS / 1000} s after the last test; it is ended, and has failed.`);
      process.exit(1);
    }, ENDS_WITHIN_MS);
    timer.unref();
  };
}
