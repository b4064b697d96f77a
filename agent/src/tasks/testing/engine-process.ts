import { argv, stdout } from 'node:process';
import type { TaskEngine } from '../engine.ts';
import { offerOf, server, shell, startEngine } from './support.ts';

/**
 * An agent's engine in a process of its own, for tests that kill it: `engine-process.ts DATA_DIR SCRIPT COUNT` offers COUNT
 * tasks and says `accepted ID`, `started ID` and `ended ID` as they come. The marker file has a line for each start.
 */
const [, , dataDir = '', script = 'true', count = '1'] = argv;
const seen = server();
const task = shell(script);
const engine: TaskEngine = await startEngine(
  dataDir,
  {
    ...seen,
    uplink: {
      reports(reports) {
        for (const { runId } of reports.accepted) stdout.write(`accepted ${runId}\n`);
        for (const { runId } of reports.started) stdout.write(`started ${runId}\n`);
        for (const { runId } of reports.results) stdout.write(`ended ${runId}\n`);
        return true;
      },
      output: () => true,
    },
  },
  {
    lookup: () => ({
      kind: 'ready',
      ready: { packName: 'test', packVersion: '1', task, scriptPath: undefined, validate: () => ({}) },
    }),
  },
  { concurrency: 4 },
);
engine.sessionOpened(1024 * 1024);
engine.offer(
  Array.from({ length: Number(count) }, (_, i) => offerOf(`run-${i}`, 'shell', { parametersFrom: { where: 'name' } })),
);
