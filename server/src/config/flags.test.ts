import { describe, expect, it } from 'vitest';
import { loadConfig } from './config.ts';
import { readFlags } from './flags.ts';

describe('a flag', () => {
  it('of a list may be repeated, and each counts', () => {
    const { flags } = readFlags([
      '--advertise',
      'a.example',
      '--advertise=b.example,10.0.0.1',
      '--notify-allow=10.0.0.0/8',
    ]);
    expect(loadConfig({ flags })).toMatchObject({ advertise: ['a.example', 'b.example', '10.0.0.1'] });
  });
  it('of anything else holds as it was said last, so that a wrapper can be overruled', () => {
    const { flags } = readFlags(['--drain', '5s', '--drain', '7s']);
    expect(loadConfig({ flags }).drainMs).toBe(7_000);
  });
  it('of one cluster in JSON stays whole', () => {
    const cluster = { name: 'west', issuer: 'https://west.example', serviceAccounts: ['openline:agent'] };
    const { flags } = readFlags([`--remote-clusters=${JSON.stringify([cluster])}`]);
    expect(loadConfig({ flags }).remoteClusters).toHaveLength(1);
  });
  it('that there is not is named, with the one that was meant', () => {
    expect(() => readFlags(['--data-dri', 'SECRET'])).toThrow(
      "there is no flag --data-dri; did you mean '--data-dir'?",
    );
    expect(() => readFlags(['--qwertz=SECRET'])).toThrow(/there is no flag --qwertz$/);
  });
  it('without its value is named', () => {
    expect(() => readFlags(['--max-agents'])).toThrow('--max-agents');
  });
});
