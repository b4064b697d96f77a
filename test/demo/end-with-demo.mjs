// Loaded into every process that the demo starts (node --import). The demo holds the other end of standard input: when it
// dies, by whatever means, that end closes, and the process stops as if it had been asked to.
import { fstatSync } from 'node:fs';

const input = fstatSync(0);
// What these processes start in their turn has no such end, and is theirs to look after.
if (input.isFIFO() || input.isSocket()) {
  process.stdin.once('close', () => process.kill(process.pid, 'SIGTERM'));
  process.stdin.resume();
  process.stdin.unref();
}
