import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { digestOf, generateKeyPair, parseSecretKey, signPack } from '@openline/packs';
import type { HeldPack } from '@openline/proto/agent';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../tasks/clock.ts';
import { silentLog } from '../telemetry/log.ts';
import type { PackLibrary } from './library.ts';
import { createPackLibrary, type PackLibraryConfig } from './pack-library.ts';

const keys = generateKeyPair('test');
const otherKeys = generateKeyPair('other');
let dataDir: string;
let idle: boolean;

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'openline-packs-'));
  idle = true;
});
afterEach(() => rm(dataDir, { recursive: true }));

function pack(version: string, source = 'echo hello', secretKey = keys.secretKey) {
  const content = Buffer.from(`apiVersion: openline.dev/v1
kind: Pack
metadata:
  name: demo
  version: ${version}
  title: Demo
  description: For tests.
tasks:
  hello:
    title: Hello
    description: Says hello.
    risk: read
    timeout: 10s
    parameters:
      to: { type: string, title: To, description: Whom to greet. }
    run:
      script: { interpreter: sh, source: ${JSON.stringify(source)} }
`);
  const signature = signPack(content, parseSecretKey(secretKey), 'test');
  const held: HeldPack = { digest: digestOf(content), name: 'demo', version };
  return { content, signature, held, hex: digestOf(content).toString('hex') };
}
type Made = ReturnType<typeof pack>;

/** A server that has these packs, and counts what is fetched. */
function serverOf(...packs: Made[]) {
  const fetched: string[] = [];
  return {
    fetched,
    async fetch(digest: Uint8Array) {
      const found = packs.find((p) => p.held.digest.equals(digest));
      if (!found) throw new Error('no such pack');
      fetched.push(found.held.version);
      return { content: new Uint8Array(found.content), signature: found.signature };
    },
  };
}

const library = (config: Partial<PackLibraryConfig> = {}, trusted: readonly string[] = [keys.publicKey]) =>
  createPackLibrary(
    { clock: systemClock, random: () => 0.001, log: silentLog, trustedKeys: () => trusted, idle: () => idle },
    { dataDir, ...config },
  );

/** As the engine does: what is pending is looked up again when it has settled. */
async function readyOf(packs: PackLibrary, made: Made) {
  let found = packs.lookup(made.held.digest, 'hello');
  while (found.kind === 'pending') {
    await found.settled;
    found = packs.lookup(made.held.digest, 'hello');
  }
  if (found.kind !== 'ready') throw new Error(`not ready: ${JSON.stringify(found)}`);
  return found.ready;
}

describe('a pack that is wanted', () => {
  it('is fetched, verified, and its tasks are ready with their scripts on disk', async () => {
    const made = pack('1.0.0', 'echo "$PARAM_TO"');
    const packs = await library();
    const states = await packs.want([made.held], serverOf(made).fetch);
    expect(states).toEqual([{ digest: made.held.digest, ready: true, reasonCode: '', reason: '' }]);
    const { scriptPath, task, packVersion, validate } = await readyOf(packs, made);
    expect(packVersion).toBe('1.0.0');
    expect(task.timeoutMs).toBe(10_000);
    expect(await readFile(scriptPath ?? '', 'utf8')).toBe('echo "$PARAM_TO"');
    expect((await stat(scriptPath ?? '')).mode & 0o777).toBe(0o500);
    expect(validate({ to: 'you' })).toEqual({ to: 'you' });
    expect(() => validate({ whom: 'you' })).toThrow(/whom/);
  });

  it('is pending while it is fetched, so that a task which came first can wait for it', async () => {
    const made = pack('1.0.0');
    const packs = await library();
    const wanted = packs.want([made.held], serverOf(made).fetch);
    const found = packs.lookup(made.held.digest, 'hello');
    if (found.kind !== 'pending') throw new Error(found.kind);
    await found.settled;
    expect((await readyOf(packs, made)).task.name).toBe('hello');
    await wanted;
  });

  it('is not fetched again while it is held', async () => {
    const made = pack('1.0.0');
    const server = serverOf(made);
    const packs = await library();
    await packs.want([made.held], server.fetch);
    expect(await packs.want([made.held], server.fetch)).toEqual([]);
    expect(server.fetched).toEqual(['1.0.0']);
  });

  it('is asked for again when the fetch failed, before it is given up', async () => {
    const made = pack('1.0.0');
    const { fetch } = serverOf(made);
    let failures = 2;
    const packs = await library();
    const states = await packs.want([made.held], async (digest) => {
      if (failures-- > 0) throw new Error('the connection broke');
      return fetch(digest);
    });
    expect(states[0]?.ready).toBe(true);
  });
});

describe('what a library watches for', () => {
  it('is that of the newest version of each pack, told when it changes, and first when all that was held is read', async () => {
    const [old, current] = [pack('1.0.0'), pack('1.1.0')];
    const { fetch } = serverOf(old, current);
    const packs = await library();
    const told: string[][] = [];
    packs.onChange(async () => void told.push(packs.newest().map(({ version }) => version)));
    await packs.want([old.held], fetch);
    await packs.want([old.held, current.held], fetch);
    await packs.want([old.held, current.held], fetch);
    await packs.want([current.held], fetch);
    expect(told).toEqual([[], ['1.0.0'], ['1.1.0'], ['1.1.0']]);
    const again = await library();
    const first = await new Promise<string[]>((resolve) => {
      again.onChange(async () => resolve(again.newest().map(({ version }) => version)));
    });
    expect(first).toEqual(['1.1.0']);
  });
});

describe('an agent that starts again', () => {
  it('holds what it held, without the network', async () => {
    const made = pack('1.0.0');
    await (await library()).want([made.held], serverOf(made).fetch);
    const again = await library();
    expect(again.held()).toEqual([made.held]);
    expect((await readyOf(again, made)).task.name).toBe('hello');
  });

  it('fetches anew what was changed on disk', async () => {
    const made = pack('1.0.0');
    const server = serverOf(made);
    await (await library()).want([made.held], server.fetch);
    await writeFile(join(dataDir, 'packs', made.hex, 'pack.yaml'), `${made.content}# changed`);
    const again = await library();
    expect(again.held()).toEqual([]);
    expect((await again.want([made.held], server.fetch))[0]?.ready).toBe(true);
    expect(server.fetched).toHaveLength(2);
  });

  it('restores a script that was changed on disk before it runs', async () => {
    const made = pack('1.0.0', 'echo original');
    await (await library()).want([made.held], serverOf(made).fetch);
    const script = join(dataDir, 'packs', made.hex, 'scripts', 'hello');
    await chmod(script, 0o700);
    await writeFile(script, 'echo changed');
    const again = await library();
    await readyOf(again, made);
    expect(await readFile(script, 'utf8')).toBe('echo original');
  });

  it('no longer holds a pack whose key is no longer trusted', async () => {
    const made = pack('1.0.0');
    await (await library()).want([made.held], serverOf(made).fetch);
    expect((await library({}, [otherKeys.publicKey])).held()).toEqual([]);
  });

  it('removes what a crash left half-written', async () => {
    const made = pack('1.0.0');
    await (await library()).want([made.held], serverOf(made).fetch);
    await rm(join(dataDir, 'packs', made.hex, 'pack.minisig'));
    expect((await library()).held()).toEqual([]);
    expect(await readdir(join(dataDir, 'packs'))).toEqual(['newest.json']);
  });
});

describe('a pack that must not run', () => {
  const refusal = async (made: Made, served: Made = made) => {
    const packs = await library();
    const asked: HeldPack[] = [made.held];
    const [state] = await packs.want(asked, async () => ({ content: served.content, signature: served.signature }));
    expect(packs.held()).toEqual([]);
    expect(packs.lookup(made.held.digest, 'hello')).toMatchObject({ kind: 'absent', code: 'PACK_NOT_HELD' });
    return state?.reasonCode;
  };

  it('is refused when other bytes come than were announced', async () => {
    expect(await refusal(pack('1.0.0'), pack('1.0.0', 'rm -rf /'))).toBe('PACK_SIGNATURE_INVALID');
  });

  it('is refused when its signature is of other bytes', async () => {
    const made = pack('1.0.0');
    expect(await refusal({ ...made, signature: pack('2.0.0').signature })).toBe('PACK_SIGNATURE_INVALID');
  });

  it('is refused when nobody here trusts its key', async () => {
    expect(await refusal(pack('1.0.0', 'echo hello', otherKeys.secretKey))).toBe('PACK_KEY_UNTRUSTED');
  });

  it('is refused when it is announced as another', async () => {
    const made = pack('1.0.0');
    expect(await refusal({ ...made, held: { ...made.held, version: '9.0.0' } })).toBe('PACK_INVALID');
  });

  it('is refused when a newer version was held, also after a restart', async () => {
    const [old, current] = [pack('1.0.0'), pack('1.1.0')];
    const { fetch } = serverOf(old, current);
    await (await library()).want([current.held], fetch);
    const [state] = await (await library()).want([old.held], fetch);
    expect(state).toMatchObject({ ready: false, reasonCode: 'PACK_DOWNGRADE' });
  });

  it('may be older where the configuration allows it, or where both are wanted', async () => {
    const [old, current] = [pack('1.0.0'), pack('1.1.0')];
    const { fetch } = serverOf(old, current);
    const packs = await library();
    expect((await packs.want([current.held, old.held], fetch)).map((s) => s.ready)).toEqual([true, true]);
    await packs.want([current.held], fetch);
    const lenient = await library({ allowDowngrade: true });
    expect((await lenient.want([old.held], fetch))[0]?.ready).toBe(true);
  });
});

describe('a pack that is no longer wanted', () => {
  it('is removed when no task is under way', async () => {
    const [old, current] = [pack('1.0.0'), pack('1.1.0')];
    const { fetch } = serverOf(old, current);
    const packs = await library();
    await packs.want([old.held], fetch);
    await packs.want([current.held], fetch);
    expect(packs.held()).toEqual([current.held]);
    expect(await readdir(join(dataDir, 'packs'))).not.toContain(old.hex);
  });

  it('stays while one is, as it may be the one that needs it', async () => {
    const [old, current] = [pack('1.0.0'), pack('1.1.0')];
    const { fetch } = serverOf(old, current);
    const packs = await library();
    await packs.want([old.held], fetch);
    idle = false;
    await packs.want([current.held], fetch);
    expect((await readyOf(packs, old)).packVersion).toBe('1.0.0');
  });

  it('is watched for no more, also while one is: only its tasks stay', async () => {
    const held = pack('1.0.0');
    const { fetch } = serverOf(held);
    const packs = await library();
    await packs.want([held.held], fetch);
    let told = 0;
    packs.onChange(async () => void told++);
    idle = false;
    await packs.want([], fetch);
    expect(packs.newest()).toEqual([]);
    expect((await readyOf(packs, held)).packVersion).toBe('1.0.0');
    await packs.want([held.held], fetch);
    expect(packs.newest().map(({ version }) => version)).toEqual(['1.0.0']);
    expect(told).toBe(3);
  });
});
