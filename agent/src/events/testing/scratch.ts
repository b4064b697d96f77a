import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { systemClock } from '../../tasks/clock.ts';
import type { LoopDeps } from '../read/loop.ts';
import type { EventSource, Position } from '../source.ts';
import { type TestSink, testSink } from './sink.ts';

/** For tests: removed at the end of the test. */
export function scratchDir(): string {
  const directory = mkdtempSync(join(tmpdir(), 'openline-events-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Retries at once. */
export const testDeps: LoopDeps = { clock: systemClock, random: () => 0 };

/** Reads with it; it is stopped at the end of the test. */
export function read(source: EventSource, position?: Position, sink: TestSink = testSink()): TestSink {
  onTestFinished(() => source.stop());
  source.start(position, sink);
  return sink;
}
