import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKeyPair, parseSecretKey, signPack, verifyPack } from '@openline/packs';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { silentLog } from '../db/testing.ts';
import { createFileStateStore } from '../state/file-store.ts';
import { STATE_FILES } from '../state/state.ts';
import { ensurePackKey, openTrustedKeys, TRUSTED_KEYS_DIR } from './trusted-keys.ts';

let dataDir = '';
beforeEach(() => {
  vi.useFakeTimers();
  dataDir = mkdtempSync(join(tmpdir(), 'openline-keys-'));
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(dataDir, { recursive: true });
});

function open(...directories: string[]) {
  const trusted = openTrustedKeys(directories, { log: silentLog });
  onTestFinished(() => trusted.close());
  return trusted;
}

describe('the trusted keys', () => {
  it('begin with one of this installation, whose packs are accepted', async () => {
    await ensurePackKey(createFileStateStore(dataDir), dataDir);
    const trusted = open(join(dataDir, TRUSTED_KEYS_DIR));
    const secret = parseSecretKey(readFileSync(join(dataDir, STATE_FILES.packKey), 'utf8'));
    const content = Buffer.from('a pack');
    expect(verifyPack(content, signPack(content, secret, 'x'), trusted.keys()).keyId).toBe(secret.keyId);
    expect(statSync(join(dataDir, STATE_FILES.packKey)).mode & 0o777).toBe(0o600);
    expect(trusted.texts()).toHaveLength(1);
  });

  it('keep the secret key away once somebody has removed it', async () => {
    await ensurePackKey(createFileStateStore(dataDir), dataDir);
    rmSync(join(dataDir, STATE_FILES.packKey));
    await ensurePackKey(createFileStateStore(dataDir), dataDir);
    expect(() => statSync(join(dataDir, STATE_FILES.packKey))).toThrow();
  });

  it('follow the files: a key that is added counts within seconds, one that is removed no longer', async () => {
    await ensurePackKey(createFileStateStore(dataDir), dataDir);
    const more = join(dataDir, 'more');
    mkdirSync(more);
    const trusted = open(join(dataDir, TRUSTED_KEYS_DIR), more);
    const { keyId, publicKey } = generateKeyPair('ours');
    writeFileSync(join(more, 'ours.pub'), publicKey);
    vi.advanceTimersByTime(10_000);
    expect(trusted.keys().map((key) => key.keyId)).toContain(keyId);
    rmSync(join(more, 'ours.pub'));
    vi.advanceTimersByTime(10_000);
    expect(trusted.keys().map((key) => key.keyId)).not.toContain(keyId);
  });

  it('hold on when a file cannot be read while the server runs', async () => {
    await ensurePackKey(createFileStateStore(dataDir), dataDir);
    const trusted = open(join(dataDir, TRUSTED_KEYS_DIR));
    const before = trusted.keys();
    writeFileSync(join(dataDir, TRUSTED_KEYS_DIR, 'broken.pub'), 'not a key');
    vi.advanceTimersByTime(10_000);
    expect(trusted.keys()).toEqual(before);
  });

  it('stop a start when one cannot be read, naming the file', () => {
    writeFileSync(join(dataDir, 'broken.pub'), 'not a key');
    expect(() => open(dataDir)).toThrow(/broken\.pub/);
    expect(() => open(join(dataDir, 'missing'))).toThrow(/missing/);
  });
});
