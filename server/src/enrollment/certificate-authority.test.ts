import 'reflect-metadata';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createFileStateStore } from '../state/file-store.ts';
import { certificatesIn } from './authority/rotation.ts';
import { type CertificateAuthorityConfig, openCertificateAuthority } from './certificate-authority.ts';
import { givenAuthority } from './testing/authorities.ts';
import { ALGORITHM, generateKeys, type KeyPair, parseCertificate } from './x509.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const START = Date.parse('2030-01-01T00:00:00Z');
const NAMES = ['localhost', 'openline.example', '127.0.0.1', '::1'];

function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), 'openline-ca-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

function clockAt(startMs: number) {
  let elapsedMs = 0;
  return {
    now: () => new Date(startMs + elapsedMs),
    pass: (ms: number) => {
      elapsedMs += ms;
    },
  };
}

const openCa = (
  dataDir: string,
  clock: { now(): Date },
  more: Partial<CertificateAuthorityConfig> = {},
  given?: Parameters<typeof openCertificateAuthority>[0]['given'],
) =>
  openCertificateAuthority(
    { state: createFileStateStore(dataDir), given, now: clock.now },
    {
      dataDir,
      agentCertificateTtlMs: DAY_MS,
      advertise: NAMES,
      overlapMs: 2 * HOUR_MS,
      longestLifeMs: DAY_MS,
      ...more,
    },
  );

async function request(keys: KeyPair, algorithm: object = ALGORITHM): Promise<Uint8Array> {
  const wish = [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: 'spiffe://evil/agent/admin' }])];
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=whatever',
    keys,
    signingAlgorithm: { ...ALGORITHM, ...algorithm },
    extensions: wish,
  });
  return new Uint8Array(csr.rawData);
}

const nobodyIsBehind = async () => 0;

describe('the certificate authority', () => {
  it('is made once, in a folder that only its owner can read, and is the same after a restart', async () => {
    const dataDir = folder();
    const clock = clockAt(START);
    const first = await openCa(dataDir, clock);
    const second = await openCa(dataDir, clock);
    expect(second).toMatchObject({ caPem: first.caPem, caHash: first.caHash, trustDomain: first.trustDomain });
    expect(statSync(join(dataDir, 'ca')).mode & 0o777).toBe(0o700);
    expect(statSync(join(dataDir, 'ca/authority.json')).mode & 0o777).toBe(0o600);
  });

  it('stays the same, and is written down again, when somebody takes it away from a running server', async () => {
    const dataDir = folder();
    const clock = clockAt(START);
    const ca = await openCa(dataDir, clock);
    const before = ca.caPem;
    rmSync(join(dataDir, 'ca'), { recursive: true });
    await ca.refresh(nobodyIsBehind);
    expect(ca.caPem).toBe(before);
    expect((await openCa(dataDir, clock)).caPem).toBe(before);
  });

  it('is an authority for ten years, for leaves only', async () => {
    const { caPem, trustDomain } = await openCa(folder(), clockAt(START));
    const ca = new X509Certificate(caPem);
    expect(ca.ca).toBe(true);
    expect(ca.verify(ca.publicKey)).toBe(true);
    expect(ca.subjectAltName).toBe(`URI:spiffe://${trustDomain}`);
    expect(ca.validToDate.getUTCFullYear()).toBe(2039);
    expect(new x509.X509Certificate(caPem).getExtension(x509.BasicConstraintsExtension)).toMatchObject({
      pathLength: 0,
    });
  });

  it('gives an agent a certificate in the name that the server gave it, whatever the request asks for', async () => {
    const clock = clockAt(START);
    const ca = await openCa(folder(), clock);
    const keys = await generateKeys();
    const { certificatePem, notAfter } = await ca.issueForAgent(await request(keys), 'agent-1');
    const certificate = new X509Certificate(certificatePem);
    expect(certificate.verify(new X509Certificate(ca.caPem).publicKey)).toBe(true);
    expect(certificate.checkIssued(new X509Certificate(ca.caPem))).toBe(true);
    expect(certificate.subjectAltName).toBe(`URI:spiffe://${ca.trustDomain}/agent/agent-1`);
    expect(certificate.subject).toBe('CN=agent-1');
    expect(certificate.ca).toBe(false);
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
    expect(notAfter).toEqual(new Date(START + 24 * HOUR_MS));
    expect(certificate.validToDate).toEqual(notAfter);
    // A machine whose clock is a little behind accepts it.
    expect(certificate.validFromDate.getTime()).toBeLessThan(START - 60_000);
  });

  it.each([
    ['a day', 24, 60, 11],
    ['an hour', 1, 14, 0.3],
  ])(
    'gives certificates of %s that are valid to clocks that are behind, and are renewed no sooner for it',
    async (_, hours, behindMinutes, renewHours) => {
      const ca = await openCa(folder(), clockAt(START));
      const keys = await generateKeys();
      const { certificatePem } = await ca.issueForAgent(await request(keys), 'a-1', hours * HOUR_MS);
      const certificate = new X509Certificate(certificatePem);
      const [fromMs, toMs] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
      expect(fromMs).toBeLessThan(START - behindMinutes * 60_000);
      expect((fromMs + toMs) / 2).toBeGreaterThan(START + renewHours * HOUR_MS);
      expect(toMs).toBe(START + hours * HOUR_MS);
    },
  );

  it('refuses a request that is garbage, forged, huge, or for a kind of key it does not issue for', async () => {
    const ca = await openCa(folder(), clockAt(START));
    const forged = await request(await generateKeys());
    forged[forged.length - 1] = (forged[forged.length - 1] ?? 0) ^ 1;
    const p384 = { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' };
    const other = await crypto.subtle.generateKey(p384, true, ['sign', 'verify']);
    const requests = [
      new Uint8Array(0),
      new Uint8Array(100),
      forged,
      new Uint8Array(9_000),
      await request(other, p384),
    ];
    for (const bad of requests) {
      await expect(ca.issueForAgent(bad, 'agent-1')).rejects.toMatchObject({ code: 'REQUEST_INVALID' });
    }
  });

  it('does not start with a key that belongs to another certificate, or with a text that is none of ours', async () => {
    const [dataDir, other] = [folder(), folder()];
    await openCa(dataDir, clockAt(START));
    await openCa(other, clockAt(START));
    const file = (directory: string) => join(directory, 'ca/authority.json');
    const documentIn = (directory: string) => JSON.parse(readFileSync(file(directory), 'utf8'));
    const mixed = { ...documentIn(dataDir), ownKeyPem: documentIn(other).ownKeyPem };
    for (const text of [JSON.stringify(mixed), 'half a docum']) {
      writeFileSync(file(dataDir), text);
      await expect(openCa(dataDir, clockAt(START))).rejects.toMatchObject({ code: 'STATE_UNAVAILABLE' });
    }
  });

  it('of an older build, which had files for certificate and key, stays what it is', async () => {
    const dataDir = folder();
    const made = await openCa(folder(), clockAt(START));
    const source = folder();
    const { caPem, trustDomain } = await openCa(source, clockAt(START));
    const { ownKeyPem } = JSON.parse(readFileSync(join(source, 'ca/authority.json'), 'utf8'));
    mkdirSync(join(dataDir, 'ca'));
    writeFileSync(join(dataDir, 'ca/ca.pem'), caPem);
    writeFileSync(join(dataDir, 'ca/ca.key'), ownKeyPem);
    expect(made.caPem).not.toBe(caPem);
    expect(await openCa(dataDir, clockAt(START))).toMatchObject({ caPem, trustDomain });
    expect(readdirSync(join(dataDir, 'ca')).sort()).toEqual(['authority.json', 'ca.pem']);
    expect(await openCa(dataDir, clockAt(START))).toMatchObject({ caPem, trustDomain });
  });
});

describe('the certificate of the server', () => {
  const leaf = (ca: { material: { certificatePem: string } }) => new X509Certificate(ca.material.certificatePem);

  it('is for all of its names and addresses, and for nothing else; the authority comes with it', async () => {
    const ca = await openCa(folder(), clockAt(START));
    const certificate = leaf(ca);
    expect(certificate.checkHost('openline.example')).toBe('openline.example');
    expect(certificate.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(certificate.checkIP('::1')).toBe('::1');
    expect(certificate.checkHost('other.example')).toBeUndefined();
    expect(certificate.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(certificate.verify(new X509Certificate(ca.caPem).publicKey)).toBe(true);
    expect(certificatesIn(ca.material.certificatePem)).toEqual([expect.any(String), ca.caPem]);
  });

  it('stays the same over restarts, until its names change or half of its life is over, which a running server sees', async () => {
    const dataDir = folder();
    const clock = clockAt(START);
    const first = leaf(await openCa(dataDir, clock)).fingerprint256;
    clock.pass(10 * DAY_MS);
    expect(leaf(await openCa(dataDir, clock)).fingerprint256).toBe(first);
    const ca = await openCa(dataDir, clock, { advertise: ['localhost'] });
    const renamed = leaf(ca).fingerprint256;
    expect(renamed).not.toBe(first);
    let told = 0;
    ca.onChange(() => told++);
    await ca.refresh(nobodyIsBehind);
    expect(told).toBe(0);
    clock.pass(16 * DAY_MS);
    await ca.refresh(nobodyIsBehind);
    expect(leaf(ca).fingerprint256).not.toBe(renamed);
    expect(told).toBe(1);
  });
});

describe('an authority that another replaces', () => {
  async function rotated(more: Partial<CertificateAuthorityConfig> = {}) {
    const dataDir = folder();
    const clock = clockAt(START);
    const ca = await openCa(dataDir, clock, more);
    const old = { caPem: ca.caPem, caHash: ca.caHash, server: ca.material.certificatePem, key: ca.material.keyPem };
    const csr = await request(await generateKeys());
    const before = await ca.issueForAgent(csr, 'a-1');
    expect(await ca.rotate()).toBe(true);
    const [newPem = '', oldPem] = certificatesIn(ca.caPem);
    return { dataDir, clock, ca, old, csr, before, newPem, oldPem };
  }

  it('stays trusted, and the server keeps its certificate; agents get theirs of the new one at once', async () => {
    const { ca, old, csr, newPem, oldPem } = await rotated();
    expect(oldPem).toBe(old.caPem);
    expect(ca.material).toMatchObject({ certificatePem: old.server, keyPem: old.key, caPem: ca.caPem });
    const { certificatePem } = await ca.issueForAgent(csr, 'a-1');
    const agent = new X509Certificate(certificatePem);
    expect(agent.verify(new X509Certificate(newPem).publicKey)).toBe(true);
    expect(agent.subjectAltName).toBe(`URI:spiffe://${ca.trustDomain}/agent/a-1`);
    // A join command that is made now holds before and after the end.
    expect(ca.caHash.split(',')).toHaveLength(2);
    expect(ca.caHash).toContain(old.caHash);
  });

  it('cannot sign any more: its key is gone', async () => {
    const { dataDir, oldPem = '' } = await rotated();
    const { ownKeyPem } = JSON.parse(readFileSync(join(dataDir, 'ca/authority.json'), 'utf8'));
    expect(new X509Certificate(oldPem).checkPrivateKey((await import('node:crypto')).createPrivateKey(ownKeyPem))).toBe(
      false,
    );
  });

  it('is taken up, and told, as soon as it can be written down for others, when a full disk kept it from that', async () => {
    const dataDir = folder();
    const ca = await openCa(dataDir, clockAt(START));
    const before = ca.state().hash;
    let told = 0;
    ca.onChange(() => told++);
    const file = join(dataDir, 'ca/ca.pem');
    rmSync(file);
    mkdirSync(file);
    await expect(ca.rotate()).rejects.toThrow('EISDIR');
    expect(ca.state().hash).toBe(before);
    rmSync(file, { recursive: true });
    await ca.refresh(nobodyIsBehind);
    expect(told).toBe(1);
    expect(ca.state().overlap).toMatchObject({ previousHashes: [before], rootUnchanged: false });
    expect(readFileSync(file, 'utf8')).toBe(ca.caPem);
  });

  it('is dropped once the overlap has passed and no agent is behind, and not before', async () => {
    const { ca, clock, newPem, old } = await rotated();
    await ca.refresh(nobodyIsBehind);
    clock.pass(2 * HOUR_MS);
    await ca.refresh(async () => 1);
    expect(ca.state().overlap).toBeDefined();
    await ca.refresh(nobodyIsBehind);
    expect(ca.state().overlap).toBeUndefined();
    expect(ca.caPem).toBe(newPem);
    expect(ca.material.certificatePem).not.toBe(old.server);
    expect(new X509Certificate(ca.material.certificatePem).verify(new X509Certificate(newPem).publicKey)).toBe(true);
  });

  it('is dropped in any case when the last certificate of it has expired', async () => {
    const { ca, clock, before } = await rotated();
    clock.pass(DAY_MS);
    expect(before.notAfter.getTime()).toBeLessThanOrEqual(clock.now().getTime());
    await ca.refresh(async () => 7);
    expect(ca.state().overlap).toBeUndefined();
  });

  it('is dropped at once on request', async () => {
    const { ca, newPem } = await rotated();
    await ca.endOverlap();
    expect(ca.caPem).toBe(newPem);
  });

  it('is replaced once at a time', async () => {
    const { ca, newPem } = await rotated();
    expect(await ca.rotate()).toBe(false);
    expect(certificatesIn(ca.caPem)[0]).toBe(newPem);
  });

  it('is where it was after a restart in the midst of it, also with other names', async () => {
    const { dataDir, clock, ca, old } = await rotated();
    const again = await openCa(dataDir, clock, { advertise: ['elsewhere'] });
    expect(again.caPem).toBe(ca.caPem);
    expect(again.material.certificatePem).toBe(old.server);
    expect(again.state()).toEqual(ca.state());
    await again.endOverlap();
    expect(new X509Certificate(again.material.certificatePem).checkHost('elsewhere')).toBe('elsewhere');
  });

  it('is replaced for each server that shares the state', async () => {
    const { dataDir, clock, ca } = await rotated();
    const other = await openCa(dataDir, clock);
    await ca.endOverlap();
    let told = 0;
    other.onChange(() => told++);
    await other.refresh(nobodyIsBehind);
    expect(other.material).toEqual(ca.material);
    expect(told).toBe(1);
  });

  it('loses nothing when a rotation and a look at the clock meet', async () => {
    const { ca, clock } = await rotated();
    await ca.endOverlap();
    // Half of the life of the server's certificate is over: there is something to write.
    clock.pass(16 * DAY_MS);
    await Promise.all([ca.refresh(nobodyIsBehind), ca.rotate(), ca.refresh(nobodyIsBehind)]);
    expect(ca.state().overlap).toBeDefined();
    expect(certificatesIn(ca.caPem)).toHaveLength(2);
  });
});

describe('an authority that is given', () => {
  it('signs, with its chain below the root; peers trust the root', async () => {
    const { intermediate, root } = await givenAuthority(START);
    const ca = await openCa(folder(), clockAt(START), {}, intermediate);
    const { certificatePem } = await ca.issueForAgent(await request(await generateKeys()), 'a-1');
    const [leaf = '', above = '', ...rest] = certificatesIn(certificatePem);
    expect(rest).toEqual([]);
    expect(new X509Certificate(leaf).verify(new X509Certificate(above).publicKey)).toBe(true);
    expect(new X509Certificate(above).verify(new X509Certificate(root.caPem).publicKey)).toBe(true);
    // By OpenSSL's rules, which look at the identifier of the key too; and byte by byte, as others compare names.
    expect(new X509Certificate(leaf).checkIssued(new X509Certificate(above))).toBe(true);
    const bytes = (name: x509.Name) => Buffer.from(name.toArrayBuffer());
    expect(bytes(parseCertificate(leaf).issuerName)).toEqual(bytes(parseCertificate(above).subjectName));
    expect(ca.caPem).toBe(root.caPem);
    expect(certificatesIn(ca.material.certificatePem).slice(1)).toEqual([above, root.caPem]);
    expect(ca.material.signersPem).toEqual([above]);
  });

  it('leaves no key of it in the state', async () => {
    const dataDir = folder();
    const { intermediate } = await givenAuthority(START);
    await openCa(dataDir, clockAt(START), {}, intermediate);
    expect(JSON.parse(readFileSync(join(dataDir, 'ca/authority.json'), 'utf8')).ownKeyPem).toBeUndefined();
  });

  it('takes over from one that the server made, and gives back to a new one, with an overlap each time', async () => {
    const dataDir = folder();
    const clock = clockAt(START);
    const own = await openCa(dataDir, clock);
    const { selfSigned } = await givenAuthority(START);
    const given = await openCa(dataDir, clock, {}, selfSigned);
    expect(given.trustDomain).toBe(own.trustDomain);
    expect(given.state()).toMatchObject({ isGiven: true, overlap: { previousHashes: [own.state().hash] } });
    expect(given.material.certificatePem).toBe(own.material.certificatePem);
    await given.endOverlap();
    const back = await openCa(dataDir, clock);
    expect(back.state()).toMatchObject({ isGiven: false, overlap: { previousHashes: [given.state().hash] } });
    expect(back.state().hash).not.toBe(own.state().hash);
  });

  it('is replaced while the server runs; one that is only renewed, with the same key, needs no overlap', async () => {
    const { selfSigned, renewed, root } = await givenAuthority(START);
    const ca = await openCa(folder(), clockAt(START), {}, selfSigned);
    const before = ca.caPem;
    await ca.replace(renewed);
    expect(ca.caPem).not.toBe(before);
    expect(ca.state().overlap).toBeUndefined();
    const server = ca.material.certificatePem;
    await ca.replace(root.signer);
    expect(ca.state().overlap).toBeDefined();
    expect(ca.material.certificatePem).toBe(server);
    expect(certificatesIn(ca.caPem)).toEqual([root.caPem, renewed.authority.rootsPem]);
  });

  it('is replaced by one below the same root: everybody knows that, so the server shows a certificate of the new one at once', async () => {
    const { intermediate, replacement, root } = await givenAuthority(START);
    const ca = await openCa(folder(), clockAt(START), {}, intermediate);
    await ca.replace(replacement);
    expect(ca.state().overlap).toMatchObject({ rootUnchanged: true });
    const [server = '', above = ''] = certificatesIn(ca.material.certificatePem);
    expect(new X509Certificate(server).checkIssued(new X509Certificate(replacement.authority.chainPem))).toBe(true);
    expect(above).toBe(replacement.authority.chainPem);
    expect(ca.caPem).toBe(root.caPem);
  });

  it('may have another name after its renewal: the server then shows a certificate that leads to that', async () => {
    const { selfSigned, renewed, renamed } = await givenAuthority(START);
    const ca = await openCa(folder(), clockAt(START), {}, selfSigned);
    const before = ca.material.certificatePem;
    await ca.replace(renewed);
    expect(certificatesIn(ca.material.certificatePem)[0]).toBe(certificatesIn(before)[0]);
    await ca.replace(renamed);
    const [server = ''] = certificatesIn(ca.material.certificatePem);
    expect(new X509Certificate(server).checkIssued(new X509Certificate(ca.caPem))).toBe(true);
  });
});
