import { describe, expect, it } from 'vitest';
import { wantedSource } from './candidates.ts';

describe('the word under the cursor', () => {
  it.each([
    [['run', ''], { kind: 'tasks' }],
    [['run', 'linux/uptime', '--on', ''], { kind: 'targets' }],
    [['run', 'linux/uptime', '--param', ''], { kind: 'parameters', task: 'linux/uptime' }],
    [['runs', 'watch', ''], { kind: 'runs' }],
    [['--context', 'prod', 'agents', 'show', 'w'], { kind: 'agents' }],
    [['trace', ''], { kind: 'agents' }],
    [['context', 'use', ''], { kind: 'contexts' }],
    [['--context', ''], { kind: 'contexts' }],
    [['get', ''], { kind: 'kinds' }],
    [['delete', 'channels', ''], { kind: 'declared', of: 'channels' }],
    [['delete', 'channels', 'mail', ''], { kind: 'declared', of: 'channels' }],
    [['apply', '-f', ''], undefined],
    [['run', '--'], undefined],
    [['runs', ''], undefined],
    [[], undefined],
  ])('of %j', (words, source) => expect(wantedSource(words)).toEqual(source));
});
