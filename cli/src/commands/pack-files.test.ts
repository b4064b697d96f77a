import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { testIo } from '../testing/io.ts';
import { findPackFile, keygenCommand, lintCommand, signatureFor, signCommand, verifyCommand } from './pack-files.ts';
import { pullPackFiles } from './packs.ts';

let cwd: string;
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'openline-packs-'));
  return () => rmSync(cwd, { recursive: true, force: true });
});
const io = () => testIo({ cwd, home: cwd });

/** A shipped pack, copied to where it can be changed. */
async function copyOfUtility(): Promise<void> {
  const { content } = await findPackFile('utility', { cwd });
  await pullPackFiles(join(cwd, 'utility.yaml'), content, undefined);
}

describe('a pack file', () => {
  it('is signed with a new key, verified with its public half, and refused after a change', async () => {
    await keygenCommand('site', io());
    expect(statSync(join(cwd, 'site.key')).mode & 0o777).toBe(0o600);
    await copyOfUtility();
    await signCommand(['utility.yaml'], { key: 'site.key' }, io());
    expect(await verifyCommand(['utility.yaml'], { publicKey: ['site.pub'] }, io())).toBe(0);
    appendFileSync(join(cwd, 'utility.yaml'), '# changed\n');
    await expect(verifyCommand(['utility.yaml'], { publicKey: ['site.pub'] }, io())).rejects.toMatchObject({
      code: 'PACK_SIGNATURE_INVALID',
    });
  });

  it('is signed only where it is a pack, and of several none before all are read', async () => {
    await keygenCommand('site', io());
    await copyOfUtility();
    writeFileSync(join(cwd, 'notes.yaml'), 'hello: world\n');
    const signing = signCommand(['utility.yaml', 'notes.yaml'], { key: 'site.key' }, io());
    await expect(signing).rejects.toMatchObject({
      code: 'PACK_INVALID',
      message: expect.stringMatching(/^notes\.yaml:1:1: /),
    });
    expect(readdirSync(cwd).filter((name) => name.endsWith('.minisig'))).toEqual([]);
  });

  it('needs the right half of the key, and says which file is not it', async () => {
    await keygenCommand('site', io());
    await copyOfUtility();
    await expect(signCommand(['utility.yaml'], { key: 'site.pub' }, io())).rejects.toThrow(
      /site\.pub: this is no minisign secret key$/,
    );
    await expect(verifyCommand(['utility.yaml'], { publicKey: ['site.key'] }, io())).rejects.toThrow(
      /site\.key: this is no minisign public key/,
    );
  });

  it('takes the signature beside it before the key of the site', async () => {
    await keygenCommand('other', io());
    await copyOfUtility();
    await signCommand(['utility.yaml'], { key: 'other.key' }, io());
    const { path, content } = await findPackFile('utility.yaml', { cwd });
    const given = { path, content, localServer: undefined, io: io() };
    expect((await signatureFor({ ...given, key: undefined })).signedBy).toBe('utility.yaml.minisig');
    expect((await signatureFor({ ...given, key: 'other.key' })).signedBy).toMatch(/^key [0-9A-F]{16}$/);
  });

  it('without any signature or key is not pushed', async () => {
    await copyOfUtility();
    const { path, content } = await findPackFile('utility.yaml', { cwd });
    await expect(signatureFor({ path, content, key: undefined, localServer: undefined, io: io() })).rejects.toThrow(
      /not signed/,
    );
  });

  it('never replaces a secret key', async () => {
    await keygenCommand('site', io());
    await expect(keygenCommand('site', io())).rejects.toThrow(/there already/);
    await expect(keygenCommand('no/site', io())).rejects.toThrow(/site\.key: there is no such folder$/);
  });

  it('is written beside nothing of the same name', async () => {
    await copyOfUtility();
    await expect(copyOfUtility()).rejects.toThrow(/utility\.yaml: it is there already$/);
    await expect(pullPackFiles(join(cwd, 'no', 'p.yaml'), Buffer.from(''), undefined)).rejects.toThrow(
      /p\.yaml: there is no such folder$/,
    );
  });

  it('is no folder', async () => {
    mkdirSync(join(cwd, 'mine'));
    await expect(findPackFile('mine', { cwd })).rejects.toMatchObject({
      message: 'mine is a folder',
      doNext: 'Give the packs in it, e.g. mine/*.yaml.',
    });
  });

  it('is linted with file, line and column', async () => {
    await copyOfUtility();
    expect(await lintCommand(['utility.yaml'], io())).toBe(0);
    appendFileSync(join(cwd, 'utility.yaml'), 'surprise: 1\n');
    const to = io();
    expect(await lintCommand(['utility.yaml'], to)).toBe(2);
    expect(to.err.text).toMatch(/^utility\.yaml:\d+:\d+: .*surprise/);
  });
});
