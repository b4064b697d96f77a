import { describe, expect, it } from 'vitest';
import { type Evidence, type Peers, type Verdict, verdictOf, verdictOfGroup } from './diagnosis.ts';
import type { Ended } from './line.ts';

const nothing: Evidence = { tcp: 'skipped', icmp: 'skipped', node: 'skipped', shared: false, notes: [] };

describe('a lost line', () => {
  it.each<[string, Ended, Partial<Evidence>, Peers, Verdict]>([
    ['whose node refuses a connection', 'broken', { tcp: 'refused' }, 'none', 'agent'],
    ['that fell silent, and whose node refuses a connection', 'silent', { tcp: 'refused' }, 'lost', 'agent'],
    ['whose node answers a ping', 'silent', { tcp: 'silent', icmp: 'answers' }, 'up', 'agent'],
    ['whose address is a gateway’s, which answers', 'silent', { tcp: 'refused', shared: true }, 'up', 'unknown'],
    ['whose node says nothing, while its neighbours are there', 'silent', { tcp: 'silent' }, 'up', 'node'],
    ['whose node and neighbours say nothing', 'silent', { tcp: 'silent', icmp: 'silent' }, 'lost', 'network'],
    ['whose node says nothing, and which has no neighbours', 'silent', { tcp: 'silent' }, 'none', 'unknown'],
    ['that was ended in order, and whose node says nothing', 'broken', { tcp: 'silent' }, 'up', 'unknown'],
    ['whose node no router finds', 'silent', { tcp: 'host-unreachable' }, 'up', 'node'],
    ['to which there is no route', 'silent', { tcp: 'no-route' }, 'up', 'network'],
    ['whose node is not ready', 'broken', { tcp: 'refused', node: 'not-ready' }, 'up', 'node'],
    ['whose node Kubernetes hears while we do not', 'silent', { tcp: 'silent', node: 'ready' }, 'up', 'network'],
    ['whose pod ended on a node that is ready', 'broken', { tcp: 'silent', node: 'ready' }, 'up', 'agent'],
    ['whose node was removed', 'stopped', { node: 'absent' }, 'up', 'removed'],
    ['that was stopped on purpose', 'stopped', { tcp: 'refused' }, 'up', 'stopped'],
    ['of which nothing could be found out', 'unseen', {}, 'up', 'unknown'],
  ])('%s', (_what, ended, evidence, peers, verdict) => {
    expect(verdictOf(ended, { ...nothing, ...evidence }, peers)).toBe(verdict);
  });
  it('into which nobody looked is unknown, unless it was stopped', () => {
    expect(verdictOf('silent', undefined, 'up')).toBe('unknown');
    expect(verdictOf('stopped', undefined, 'up')).toBe('stopped');
  });
});

describe('a lost group', () => {
  it.each<[Verdict[], Verdict]>([
    [['network', 'network', 'network'], 'network'],
    [['agent', 'agent', 'unknown', 'unknown'], 'agent'],
    [['agent', 'node', 'network'], 'unknown'],
    [['agent', 'agent', 'agent', 'agent', 'node'], 'agent'],
    [['unknown'], 'unknown'],
    [[], 'unknown'],
  ])('%j is %s', (verdicts, verdict) => expect(verdictOfGroup(verdicts)).toBe(verdict));
});
