import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLog } from '../telemetry/log.ts';
import { testAuthority } from '../testing/certificates.ts';
import type { Identity } from './identity.ts';
import { keepIdentity } from './identity-keeper.ts';
import { createIdentityStore } from './identity-store.ts';

let dataDir: string;
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'openline-keeper-'));
});
afterEach(() => rm(dataDir, { recursive: true }));

const identityOf = async (): Promise<Identity> => {
  const authority = await testAuthority();
  const { keyPem, certificatePem } = await authority.agentIdentity();
  const { caPem } = authority;
  return { agentId: 'a', agentName: 'a', keyPem, certificatePem, caPem, trustedPackKeys: [], joinTokenHash: '' };
};

async function keeping() {
  const first = await identityOf();
  await createIdentityStore(dataDir).save(first);
  const none = { joinToken: undefined, joinTokenFile: undefined, kubernetesTokenFile: undefined, caFile: undefined };
  const keeper = await keepIdentity(silentLog, { dataDir, ...none }, () => Promise.reject(new Error('there is one')));
  return { first, keeper };
}

/** Nothing can be written where the identity lies. */
async function breakDisk() {
  const dir = join(dataDir, 'identity');
  for (const name of await readdir(dir)) await rm(join(dir, name));
  await rm(dir, { recursive: true });
  await writeFile(dir, '');
  return { heal: () => rm(dir) };
}

describe('a pair that was renewed', () => {
  it('is used where the disk refuses it, and is not taken for stored', async () => {
    const { first, keeper } = await keeping();
    const { keyPem, certificatePem } = await identityOf();
    const { heal } = await breakDisk();
    await expect(keeper.keep({ keyPem, certificatePem })).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' });
    expect(keeper.current()).toEqual({ ...first, keyPem, certificatePem });
    expect(keeper.stored()).toEqual(first);
    await heal();
    await keeper.keep({ trustedPackKeys: ['RWnew'] });
    expect(keeper.stored()).toEqual({ ...first, keyPem, certificatePem, trustedPackKeys: ['RWnew'] });
    expect(await createIdentityStore(dataDir).load()).toEqual(keeper.current());
  });

  it('is used without the authorities that came with it: a next process would not know them', async () => {
    const { first, keeper } = await keeping();
    const renewed = await identityOf();
    await breakDisk();
    await expect(keeper.keep(renewed)).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' });
    expect(keeper.current().certificatePem).toBe(renewed.certificatePem);
    expect(keeper.current().caPem).toBe(first.caPem);
  });
});

describe('authorities to trust', () => {
  it('are not used before they are stored', async () => {
    const { first, keeper } = await keeping();
    await breakDisk();
    await expect(keeper.keep({ caPem: 'another' })).rejects.toMatchObject({ code: 'DATA_DIR_UNUSABLE' });
    expect(keeper.current()).toEqual(first);
  });
});
