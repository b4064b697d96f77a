import { describe, expect, it } from 'vitest';
import { words } from './words.ts';

describe('a command that is typed', () => {
  it('is split where the text has spaces or lines', () => {
    expect(words`get pods  -o json
      --all-namespaces`).toEqual(['get', 'pods', '-o', 'json', '--all-namespaces']);
  });
  it('is not split in what is put in', () => {
    expect(words`run --param ${'script=a b; c'} x`).toEqual(['run', '--param', 'script=a b; c', 'x']);
    expect(words`run ${''}`).toEqual(['run', '']);
  });
  it('takes what is put in next to text as part of the word', () => {
    expect(words`wait node/${'n1'} --timeout=${5}s -n ${'a'}/${'b'}`).toEqual([
      ...['wait', 'node/n1', '--timeout=5s', '-n', 'a/b'],
    ]);
  });
  it('takes a list as several words, or none', () => {
    expect(words`run ${['a b', 'c']} d ${[]}`).toEqual(['run', 'a b', 'c', 'd']);
  });
});
