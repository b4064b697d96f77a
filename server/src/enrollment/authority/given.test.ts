import 'reflect-metadata';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { makeAuthority, type TestAuthority } from '../testing/authorities.ts';
import { createGivenAuthority } from './given.ts';

const NAMES = ['openline-server', 'openline-server.openline.svc', '127.0.0.1'];
const now = () => new Date();
const YEAR_MS = 365 * 86_400_000;
const make = (name: string, options: Parameters<typeof makeAuthority>[2] = {}) =>
  makeAuthority(name, Date.now(), options);
const only = (usage: x509.ExtendedKeyUsageType) => [new x509.ExtendedKeyUsageExtension([usage])];
const pem = (...authorities: readonly TestAuthority[]) => authorities.map(({ caPem }) => caPem).join('');

/** Files as somebody gives them: certificates of tls.crt, the first of which has the key; then those of ca.crt. */
function put(directory: string, certificates: readonly TestAuthority[], roots?: readonly TestAuthority[]): void {
  writeFileSync(join(directory, 'tls.crt'), pem(...certificates));
  writeFileSync(join(directory, 'tls.key'), certificates[0]?.keyPem ?? '');
  if (roots !== undefined) writeFileSync(join(directory, 'ca.crt'), pem(...roots));
}

function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), 'openline-given-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

function given(certificates: readonly TestAuthority[], roots?: readonly TestAuthority[]) {
  const directory = folder();
  put(directory, certificates, roots);
  return createGivenAuthority({ now }, { directory, names: NAMES }).first();
}

async function chain() {
  const root = await make('Company Root RSA');
  const middle = await make('Of the site', { by: root });
  const lowest = await make('Openline', { by: middle });
  return { root, middle, lowest };
}

describe('files of an authority', () => {
  it('of cert-manager’s SelfSigned issuer hold the same certificate twice', async () => {
    const alone = await make('Openline local');
    const { authority } = await given([alone], [alone]);
    expect(authority).toMatchObject({ chainPem: '', rootsPem: alone.caPem });
  });

  it('may be far below a root, which is in ca.crt or, in any order, in tls.crt', async () => {
    const { root, middle, lowest } = await chain();
    const authority = { chainPem: pem(lowest, middle), rootsPem: root.caPem };
    // As cert-manager's CA issuer has it, as others do.
    expect(await given([lowest, middle], [root])).toMatchObject({ authority });
    expect(await given([lowest], [middle, root])).toMatchObject({ authority });
    expect(await given([lowest, root, middle], [])).toMatchObject({ authority });
    expect(await given([lowest, middle, root])).toMatchObject({ authority });
  });

  it('may have the name that the server has in its own certificate', async () => {
    const alone = await make('openline-server');
    expect(await given([alone])).toMatchObject({ authority: { rootsPem: alone.caPem } });
  });

  it('with an intermediate in ca.crt and no root are refused: it says whose certificate is missing, and where it belongs', async () => {
    const { middle, lowest } = await chain();
    await expect(given([lowest, middle], [middle])).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(
        /leads to no root: add the certificate of «CN=Company Root RSA».* ca\.crt of the issuer/,
      ),
    });
  });

  it('of two that signed each other lead to no root', async () => {
    const [a, b] = [await make('A'), await make('B')];
    const [aByB, bByA] = [await make('A', { by: b, keys: a.keys }), await make('B', { by: a, keys: b.keys })];
    await expect(given([aByB, bByA], [aByB, bByA])).rejects.toThrow('leads to no root');
  });

  it.each([
    ['a certificate that is no authority, as its own ca.crt', { isAuthority: false }, 'isCA: true'],
    [
      'an authority for clients only',
      { more: only(x509.ExtendedKeyUsage.clientAuth) },
      'agents would refuse the server’s certificate: unsuitable certificate purpose',
    ],
    [
      'an authority for servers only',
      { more: only(x509.ExtendedKeyUsage.serverAuth) },
      'the server would refuse the certificates of agents: INVALID_PURPOSE',
    ],
  ])('are refused that hold %s', async (_, options, why) => {
    const alone = await make('Openline', options);
    await expect(given([alone], [alone])).rejects.toThrow(why);
  });

  it('are refused when the root allows no authority below it', async () => {
    const root = await make('Root', { pathLength: 0 });
    const below = await make('Openline', { by: root });
    await expect(given([below], [root])).rejects.toThrow('path length constraint exceeded');
  });

  it('are refused when their time is over', async () => {
    const over = await makeAuthority('Openline', Date.now() - YEAR_MS);
    await expect(given([over], [over])).rejects.toThrow('certificate has expired');
  });

  it('are followed from when they were read first, not from when somebody begins to watch them', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const directory = folder();
    const [before, after] = [await make('Openline local'), await make('Openline local')];
    put(directory, [before], [before]);
    const authority = createGivenAuthority({ now }, { directory, names: NAMES });
    await authority.first();
    put(directory, [after], [after]);
    const changed = Promise.withResolvers<string>();
    const log = { error: (fields: object) => changed.reject(Reflect.get(fields, 'err')) };
    const watch = authority.watch(log, async (signer) => changed.resolve(signer.authority.rootsPem));
    vi.advanceTimersByTime(10_000);
    expect(await changed.promise).toBe(after.caPem);
    watch.stop();
  });
});
