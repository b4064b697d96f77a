import { describe, expect, it } from 'vitest';
import { createPublisher } from './publish-authority.ts';

function cluster(failures: number) {
  const patched: unknown[] = [];
  const said: string[] = [];
  const stop = new AbortController();
  let left = failures;
  let version = 1;
  let kept = '';
  const api = {
    namespace: 'openline',
    async patch(path: string, body: unknown) {
      if (left-- > 0) throw new Error('away');
      patched.push(path, body);
      if (JSON.stringify(body) !== kept) version++;
      kept = JSON.stringify(body);
      return { metadata: { resourceVersion: String(version) } };
    },
  };
  const clock = {
    async sleep() {
      said.push('sleep');
    },
  };
  const log = { info: () => said.push('info'), error: () => said.push('error') };
  const empty = (): void => {
    kept = '';
  };
  return { deps: { api, clock, log, signal: stop.signal }, patched, said, stop, empty };
}

describe('the certificate of the authority', () => {
  it('is written to the ConfigMap, again and again until it is there; that it fails is said once', async () => {
    const c = cluster(2);
    await createPublisher(c.deps, 'openline-ca', () => 'PEM')();
    expect(c.patched).toEqual(['/api/v1/namespaces/openline/configmaps/openline-ca', { data: { 'ca.crt': 'PEM' } }]);
    expect(c.said).toEqual(['error', 'sleep', 'sleep', 'info']);
  });

  it('is written again and again, and told of only where it was not there any more', async () => {
    const c = cluster(0);
    const publish = createPublisher(c.deps, 'openline-ca', () => 'PEM');
    await publish();
    await publish();
    expect(c.said).toEqual(['info']);
    c.empty();
    await publish();
    expect(c.said).toEqual(['info', 'info']);
  });

  it('is given up when the server stops', async () => {
    const c = cluster(Number.POSITIVE_INFINITY);
    c.deps.clock.sleep = async () => c.stop.abort();
    await createPublisher(c.deps, 'openline-ca', () => 'PEM')();
    expect(c.patched).toEqual([]);
  });

  it('is the newest in the end, also when an older one is slow to be written', async () => {
    const c = cluster(0);
    const slow = Promise.withResolvers<void>();
    const written: unknown[] = [];
    let answer = slow.promise;
    c.deps.api.patch = async (_path, body) => {
      const mine = answer;
      answer = Promise.resolve();
      await mine;
      written.push(body);
      return { metadata: { resourceVersion: String(written.length) } };
    };
    let pem = 'OLD';
    const publish = createPublisher(c.deps, 'openline-ca', () => pem);
    const first = publish();
    await Promise.resolve();
    pem = 'NEW';
    const second = publish();
    setImmediate(slow.resolve);
    await Promise.all([first, second]);
    expect(written).toEqual([{ data: { 'ca.crt': 'OLD' } }, { data: { 'ca.crt': 'NEW' } }]);
  });
});
