import { tmpdir } from 'node:os';
import { OutputStream } from '@openline/proto/agent';
import { expect, it } from 'vitest';
import { type Clock, systemClock } from '../clock.ts';
import { type ProcessExit, runProcess } from './run-process.ts';

/** More than is read at once; and the process can write it and end although nobody reads, in whichever pieces: the kernel counts 16 KiB for 8. */
const BYTES = 90_000;

it('what a process wrote is read to its end, however late we come to read it', async () => {
  const held: (() => void)[] = [];
  let isDiskSlow = true;
  let looks = 0;
  /** Hours pass between any two looks, and the disk gives way only just before one. */
  const clock: Clock = {
    ...systemClock,
    nowMs: () => systemClock.nowMs() + looks * 3_600_000,
    after: (delayMs, run) =>
      systemClock.after(delayMs, async () => {
        looks += 1;
        isDiskSlow = looks <= 5;
        if (!isDiskSlow) for (const done of held.splice(0)) done();
        // Long enough for what waits to go on, and too short to read anything.
        for (let turn = 0; turn < 10; turn++) await new Promise<void>((resolve) => process.nextTick(resolve));
        run();
      }),
  };
  let read = 0;
  const errors: Buffer[] = [];
  await new Promise<ProcessExit>((resolve) => {
    const argv = ['sh', '-c', `head -c ${BYTES} /dev/zero`];
    const spec = { argv, env: { PATH: process.env['PATH'] ?? '' }, cwd: tmpdir(), killGraceMs: 1_000 };
    void runProcess(clock, spec, {
      onOutput(stream, bytes) {
        if (stream === OutputStream.OUTPUT_STREAM_STDERR) errors.push(bytes);
        else read += bytes.length;
        // Until some looks after the process has ended.
        if (!isDiskSlow) return undefined;
        return new Promise<void>((done) => held.push(done));
      },
      onEnd: resolve,
    });
  });
  expect(read).toBe(BYTES);
  expect(`${Buffer.concat(errors)}`).toBe('');
});
