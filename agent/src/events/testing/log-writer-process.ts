import { createEventLog } from '../agent-log/writer.ts';

// A program that writes the agent's log, for tests: DIRECTORY SEGMENT_BYTES NAME COUNT. Says the number of each event once it is on disk.
const [directory = '', segmentBytes, name = '', count] = process.argv.slice(2);
const log = createEventLog({ directory, segmentBytes: Number(segmentBytes), segments: 10_000 });
for (let number = 0; number < Number(count); number++) {
  await log.append([{ source: name, id: '', level: 'info', message: `${name} ${number}`, data: {} }]);
  process.stdout.write(`${number}\n`);
}
