import { describe, expect, it } from 'vitest';
import { differences } from './checks.ts';

const web = { agent: 'web-1', state: 'succeeded', exitCode: 0, output: 'Filesystem …\n' };

describe('a step of the demo', () => {
  it('is content when every agent ended as promised', () => {
    expect(differences([web], { 'web-1': { state: 'succeeded', exitCode: 0, output: ['Filesystem'] } })).toEqual([]);
  });

  it.each([
    ['another state', { ...web, state: 'lost' }, 'web-1 ended as lost, not as succeeded'],
    ['another exit code', { ...web, exitCode: undefined }, 'web-1 ended with exit code none, not 0'],
    ['other output', { ...web, output: '' }, 'the output of web-1 lacks "Filesystem"'],
    ['another agent', { ...web, agent: 'db-1' }, 'web-1 was not asked; db-1 was asked, and should not have been'],
  ])('names %s', (_what, end, said) => {
    const expected = { 'web-1': { state: 'succeeded', exitCode: 0, output: ['Filesystem'] } };
    expect(differences([end], expected).join('; ')).toBe(said);
  });
});
