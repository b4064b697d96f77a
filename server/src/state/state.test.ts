import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ApiRefused } from '../kubernetes/cluster-api.ts';
import { createFileStateStore } from './file-store.ts';
import { openSecretStateStore, SECRET_KEYS } from './secret-store.ts';
import { STATE_FILES, type StateStore } from './state.ts';

function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), 'openline-state-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** One Secret of a cluster whose API refuses a patch of an older version, as the real one does. */
function cluster(data: Record<string, string> = {}) {
  let version = 1;
  let isThere = true;
  const kept = new Map(Object.entries(data));
  const calls: string[] = [];
  const failures: Error[] = [];
  const api = {
    namespace: 'openline',
    async get(path: string) {
      calls.push(`get ${path}`);
      const failure = failures.shift();
      if (failure !== undefined) throw failure;
      if (!isThere) throw new ApiRefused(404, 'secrets "openline-state" not found');
      const encoded = [...kept].map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
      return {
        metadata: { resourceVersion: String(version) },
        ...(encoded.length > 0 ? { data: Object.fromEntries(encoded) } : {}),
      };
    },
    async patch(path: string, body: unknown) {
      const { metadata, data: more } = body as { metadata: { resourceVersion: string }; data: Record<string, string> };
      calls.push(`patch ${path}`);
      if (metadata.resourceVersion !== String(version)) throw new ApiRefused(409, 'the object has been modified');
      version++;
      for (const [key, text] of Object.entries(more)) kept.set(key, Buffer.from(text, 'base64').toString('utf8'));
    },
    async apply(path: string, body: unknown) {
      const { apiVersion, kind, metadata } = body as { apiVersion: string; kind: string; metadata: { name: string } };
      calls.push(`apply ${path} ${apiVersion} ${kind} ${metadata.name}`);
      isThere = true;
      return { metadata: { resourceVersion: String(version) } };
    },
  };
  let slept = 0;
  const clock = {
    async sleep() {
      slept++;
    },
  };
  const take = () => {
    isThere = false;
    kept.clear();
  };
  const open = (dataDir = folder()) =>
    openSecretStateStore({ api, clock, local: createFileStateStore(dataDir) }, 'openline-state');
  return { open, kept, calls, failures, take, slept: () => slept };
}

const STORES: readonly [string, () => Promise<StateStore>][] = [
  ['a directory', async () => createFileStateStore(folder())],
  ['a Secret', () => cluster().open()],
];

describe.each(STORES)('the state in %s', (_where, open) => {
  it('has nothing before it was made, and then what was made', async () => {
    const store = await open();
    expect(await store.read('authority')).toBeUndefined();
    const seen: unknown[] = [];
    const make = (kept: string | undefined) => {
      seen.push(kept);
      return kept ?? 'made';
    };
    expect(await store.update('authority', make)).toBe('made');
    expect(await store.update('authority', make)).toBe('made');
    expect(seen).toEqual([undefined, 'made']);
    expect(await store.read('authority')).toBe('made');
    expect(await store.read('packKey')).toBeUndefined();
  });

  it('is replaced whole, keeps every character, and stays as it was when the change fails', async () => {
    const store = await open();
    await store.update('adminToken', () => 'one\n');
    await store.update('adminToken', async (kept) => `${kept}zwei – ✓\n`);
    expect(await store.read('adminToken')).toBe('one\nzwei – ✓\n');
    await expect(store.update('adminToken', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await store.read('adminToken')).toBe('one\nzwei – ✓\n');
  });

  it('loses none of the changes that are made at once', async () => {
    const store = await open();
    const append = (letter: string) =>
      store.update('authority', async (kept = '') => {
        await new Promise((resolve) => setImmediate(resolve));
        return kept + letter;
      });
    await Promise.all(['a', 'b', 'c'].map(append));
    expect([...((await store.read('authority')) ?? '')].sort()).toEqual(['a', 'b', 'c']);
  });

  it('keeps an empty text: somebody wants none', async () => {
    const store = await open();
    await store.update('packKey', () => '');
    expect(await store.update('packKey', (kept) => kept ?? 'made')).toBe('');
  });
});

describe('the state in a directory', () => {
  it('is for its owner only', async () => {
    const dataDir = folder();
    const store = createFileStateStore(dataDir);
    await store.update('authority', () => 'x');
    expect(statSync(join(dataDir, STATE_FILES.authority)).mode & 0o777).toBe(0o600);
    expect(statSync(join(dataDir, 'ca')).mode & 0o777).toBe(0o700);
  });

  it('says which file cannot be read', async () => {
    const dataDir = folder();
    mkdirSync(join(dataDir, STATE_FILES.adminToken));
    await expect(createFileStateStore(dataDir).read('adminToken')).rejects.toMatchObject({
      code: 'STATE_UNAVAILABLE',
      message: expect.stringContaining(join(dataDir, 'admin-token')),
    });
  });
});

describe('the state in a Secret', () => {
  it('is made by one of two servers that start at once; the other takes what that one made', async () => {
    const { open, kept } = cluster();
    const servers = await Promise.all([open(), open()]);
    const made = await Promise.all(
      servers.map((store, i) =>
        store.update('authority', async (known) => {
          await new Promise((resolve) => setImmediate(resolve));
          return known ?? `of server ${i}`;
        }),
      ),
    );
    expect(new Set(made).size).toBe(1);
    expect(kept.get(SECRET_KEYS.authority)).toBe(made[0]);
  });

  it('survives the disk; what the command line of the pod reads is put there again, the key of the authority is not', async () => {
    const { open } = cluster();
    const first = await open();
    await first.update('authority', () => 'A');
    await first.update('adminToken', () => 'T');
    const disk = folder();
    const second = await open(disk);
    expect(readFileSync(join(disk, 'admin-token'), 'utf8')).toBe('T');
    expect(await second.read('authority')).toBe('A');
    expect(() => statSync(join(disk, STATE_FILES.authority))).toThrow();
  });

  it('begins with what a data directory had before, and is what counts from then on', async () => {
    const { open, kept } = cluster();
    const disk = folder();
    await createFileStateStore(disk).update('packKey', () => 'old key');
    const store = await open(disk);
    expect(await store.update('packKey', (known) => known ?? 'new key')).toBe('old key');
    expect(kept.get('packs.key')).toBe('old key');
  });

  it('asks only for its own Secret, and writes nothing that is there already', async () => {
    const { open, calls } = cluster({ 'packs.key': 'k' });
    const store = await open();
    await store.update('packKey', (known) => known ?? 'other');
    expect(new Set(calls)).toEqual(new Set(['get /api/v1/namespaces/openline/secrets/openline-state']));
  });

  it('is refused with the place where an answer of the API is no Secret', async () => {
    const api = {
      namespace: 'openline',
      get: async () => ({ metadata: {}, data: { k: 'no base64' } }),
      patch: async () => {},
      apply: async () => {},
    };
    const opened = openSecretStateStore(
      { api, clock: { sleep: async () => {} }, local: createFileStateStore(folder()) },
      'openline-state',
    );
    await expect(opened).rejects.toMatchObject({
      code: 'STATE_UNAVAILABLE',
      message:
        'the Secret openline/openline-state: the Kubernetes API answered with what is no Secret (metadata.resourceVersion, data.k)',
    });
  });

  it('waits for an API that does not answer yet, and gives up in the end', async () => {
    const { open, failures, slept } = cluster();
    failures.push(new Error('ECONNREFUSED'), new ApiRefused(503, 'busy'));
    await open();
    expect(slept()).toBe(2);
    failures.push(...Array.from({ length: 20 }, () => new Error('ECONNREFUSED')));
    await expect(open()).rejects.toMatchObject({ code: 'STATE_UNAVAILABLE' });
  });

  it('makes the Secret where it is not there, so that nobody else has to, and nobody else empties it', async () => {
    const { open, take, calls, kept } = cluster();
    take();
    const store = await open();
    await store.update('authority', () => 'A');
    expect(kept.get('authority.json')).toBe('A');
    expect(calls.filter((call) => call.startsWith('apply'))).toEqual([
      'apply /api/v1/namespaces/openline/secrets/openline-state v1 Secret openline-state',
    ]);
  });

  it('does not wait for a right that is missing', async () => {
    const { open, failures, slept } = cluster();
    failures.push(new ApiRefused(403, 'secrets "openline-state" …'));
    await expect(open()).rejects.toMatchObject({
      code: 'STATE_UNAVAILABLE',
      message: 'the Secret openline/openline-state: secrets "openline-state" …',
    });
    expect(slept()).toBe(0);
  });
});
