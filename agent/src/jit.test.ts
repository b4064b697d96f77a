import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createJitSwitch } from './jit.ts';
import { systemClock } from './tasks/clock.ts';

describe('the switch for the compilers', () => {
  it('is turned once, when more than a thousand events come within a second', () => {
    let nowMs = 0;
    let turned = 0;
    const jit = createJitSwitch({ ...systemClock, nowMs: () => nowMs }, () => void turned++);
    for (; nowMs < 10_000; nowMs += 100) jit.took(90, 1);
    expect(turned).toBe(0);
    jit.took(600, 1);
    jit.took(600, 1);
    jit.took(6_000, 1);
    expect(turned).toBe(1);
  });

  it('is turned, too, when fewer events take much of the processor', () => {
    let nowMs = 0;
    let turned = 0;
    const jit = createJitSwitch({ ...systemClock, nowMs: () => nowMs }, () => void turned++);
    for (; nowMs < 60_000; nowMs += 500) jit.took(10, 40);
    expect(turned).toBe(0);
    for (; nowMs < 70_000; nowMs += 500) jit.took(10, 100);
    expect(turned).toBe(1);
  });

  it('works in a process that was started without them', () => {
    const script = `
      import { getHeapCodeStatistics } from 'node:v8';
      import { createJitSwitch } from ${JSON.stringify(join(import.meta.dirname, 'jit.ts'))};
      const hot = (n) => { let sum = 0; for (let i = 0; i < n; i++) sum = (sum * 31 + i) | 0; return sum; };
      const work = () => { for (let i = 0; i < 300; i++) hot(10_000); return getHeapCodeStatistics().code_and_metadata_size; };
      const before = work() - work();
      createJitSwitch({ nowMs: () => 0 }).took(1_001);
      const from = getHeapCodeStatistics().code_and_metadata_size;
      console.log(JSON.stringify({ before, after: work() - from }));
    `;
    const flags = ['--no-opt', '--no-maglev', '--no-sparkplug', '--input-type=module'];
    const { before, after } = JSON.parse(
      execFileSync(process.execPath, [...flags, '-e', script], { encoding: 'utf8' }),
    );
    expect(before).toBe(0);
    expect(after).toBeGreaterThan(0);
  });
});
