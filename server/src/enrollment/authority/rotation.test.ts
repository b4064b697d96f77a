import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AuthorityDocument, authoritiesOf, ended, isOver, type RotationPolicy, replaced } from './rotation.ts';

const policy: RotationPolicy = { overlapMs: 100, longestLifeMs: 1_000 };
const authority = (n: number) => ({ hash: n.toString(16).padStart(64, '0'), chainPem: '', rootsPem: `root ${n}` });
const first: AuthorityDocument = { trustDomain: 't', ownKeyPem: 'key 0', signing: authority(0) };

describe('authorities', () => {
  it('overlap when another key signs, and not when the same one was renewed', () => {
    expect(replaced(first, { signing: { ...authority(0), rootsPem: 'renewed' } }, 5).overlap).toBeUndefined();
    const next = replaced(first, { signing: authority(1), ownKeyPem: 'key 1' }, 5);
    expect(next).toMatchObject({ ownKeyPem: 'key 1', overlap: { sinceUnixMs: 5, previous: [authority(0)] } });
  });

  it('overlap for the time given while nobody is behind, for the life of a certificate when somebody is', () => {
    const next = replaced(first, { signing: authority(1) }, 0);
    expect(isOver(next, 0, 99, policy)).toBe(false);
    expect(isOver(next, 0, 100, policy)).toBe(true);
    expect(isOver(next, 1, 999, policy)).toBe(false);
    expect(isOver(next, 1, 1_000, policy)).toBe(true);
    expect(isOver(first, 0, 9_999, policy)).toBe(false);
  });

  it('whatever happens: one signs, it is trusted, its key is the only one kept, and none is trusted twice', () => {
    const event = fc.oneof(
      fc.record({ kind: fc.constant('own' as const), n: fc.nat(6) }),
      fc.record({ kind: fc.constant('given' as const), n: fc.nat(6) }),
      fc.record({ kind: fc.constant('tick' as const), behind: fc.nat(2), passMs: fc.nat(600) }),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 20 }), (events) => {
        let document = first;
        let nowMs = 0;
        let signing = 0;
        for (const each of events) {
          if (each.kind === 'tick') {
            nowMs += each.passMs;
            if (isOver(document, each.behind, nowMs, policy)) document = ended(document);
          } else {
            signing = each.n;
            const ownKeyPem = each.kind === 'own' ? `key ${each.n}` : undefined;
            document = replaced(document, { signing: authority(each.n), ownKeyPem }, nowMs);
            expect(document.ownKeyPem).toBe(ownKeyPem);
          }
          const hashes = authoritiesOf(document).map(({ hash }) => hash);
          expect(hashes[0]).toBe(authority(signing).hash);
          expect(new Set(hashes).size).toBe(hashes.length);
          expect(hashes.length).toBeLessThanOrEqual(5);
          expect(isOver(document, 0, nowMs + policy.longestLifeMs, policy)).toBe(document.overlap !== undefined);
        }
      }),
    );
  });
});
