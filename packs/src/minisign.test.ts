import { OpenlineError } from '@openline/proto/errors';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { generateKeyPair, parsePublicKey, parseSecretKey, signPack, verifyPack } from './minisign.ts';

/** Made with minisign 0.11 and a throw-away key: `minisign -G -W`, `minisign -S`, `minisign -S -l`, and `minisign -G` with a password. */
const CONTENT = Buffer.from('hello pack\n');
const PUBLIC_KEY = `untrusted comment: minisign public key A567EFF1BA99AB45
RWRFq5m68e9npbaamRHhs/0KRMRnmo2nFOpeV24vDEpKEEdI7C14RePk
`;
const SECRET_KEY = `untrusted comment: openline test key
RWQAAEIyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAARauZuvHvZ6UEHoaB/zoZ8S6k/its5PN0pI9hqDkjR5M0IEJ7EnnSG7aamRHhs/0KRMRnmo2nFOpeV24vDEpKEEdI7C14RePkAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=
`;
const ENCRYPTED_SECRET_KEY = `untrusted comment: minisign encrypted secret key
RWRTY0Iyq+qw4jLOBSDMBauDV4LnkSxBUuHHMUsZln4EtOc2tMgAAAACAAAAAAAAAEAAAAAAfqcuB3wdMWjFCFFIb8azxpqiK/ACNeBKJLcWafvgCTuRYiL/RjgO55iD2C+FrN+2adenuC2ajm+uzdzVTKuAEgi3nBTHjeshtYOFzVJm4kkY2Jsuf8IHMR1RhfYG26rHKgLCjz7V7w0=
`;
const PREHASHED = `untrusted comment: signature from minisign secret key
RURFq5m68e9npYBFE5UZOWsGBOpZLlvQV2ITAFynliNg8AEzuoj8ljRguvgV5ZsZH2WV58hmiVyQl3yCuOBLDSCbzR73eTPdWQA=
trusted comment: timestamp:1 file:a.yaml
JsysH3y2agora+u/Ws5E4CbMMocV6u4MsiOJQ7ppNW5po/DXe4whM3HmQeOzpi+HswUOz8f00zb+HNBUgm1XBg==
`;
const LEGACY = `untrusted comment: signature from minisign secret key
RWRFq5m68e9npTw7rqefnj3pqdkuxnmEpo/ASa8j6h1BHwBlfXZdbdCQpE73aK+LHaCCI0EUryzob7BrNSDby3llHpCwFdRNVgY=
trusted comment: legacy one
I/2kOwi4RxRzTc/xP7vp695VGI5jBCp1cNNUx5upCftvxPODRhgAJvOAGE6P2/9NeUgLip4SLEvqEgjU5i8FDQ==
`;

const trusted = [parsePublicKey(PUBLIC_KEY)];

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof OpenlineError) return error.code;
    throw error;
  }
  return 'none';
}

describe('what the minisign tool made', () => {
  it('is verified, in its modern and its legacy form', () => {
    expect(verifyPack(CONTENT, PREHASHED, trusted)).toEqual({
      keyId: 'A567EFF1BA99AB45',
      trustedComment: 'timestamp:1 file:a.yaml',
    });
    expect(verifyPack(CONTENT, LEGACY, trusted).trustedComment).toBe('legacy one');
  });

  it('is made by us byte for byte, save for the untrusted comment', () => {
    const ours = signPack(CONTENT, parseSecretKey(SECRET_KEY), 'timestamp:1 file:a.yaml');
    expect(ours.split('\n').slice(1)).toEqual(PREHASHED.split('\n').slice(1));
  });

  it('is a key that can be given as a file, with Windows line ends, or as its one line', () => {
    const line = PUBLIC_KEY.split('\n')[1] ?? '';
    expect(parsePublicKey(line)).toEqual(trusted[0]);
    expect(parsePublicKey(PUBLIC_KEY.replaceAll('\n', '\r\n'))).toEqual(trusted[0]);
  });

  it('is a secret key that says so when it needs a password', () => {
    expect(() => parseSecretKey(ENCRYPTED_SECRET_KEY)).toThrow(/encrypted with a password/);
  });
});

describe('a signature', () => {
  const pair = generateKeyPair('test');
  const secret = parseSecretKey(pair.secretKey);
  const own = [parsePublicKey(pair.publicKey)];

  it('holds for every content and comment', () => {
    const comment = fc.string({ unit: 'grapheme', maxLength: 100 }).map((s) => s.replace(/[\r\n\0]/g, ' '));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), comment, (content, text) => {
        expect(verifyPack(content, signPack(content, secret, text), own)).toEqual({
          keyId: pair.keyId,
          trustedComment: text,
        });
      }),
      { numRuns: 50 },
    );
  });

  it('does not hold once a byte of the pack has changed', () => {
    expect(codeOf(() => verifyPack(Buffer.from('hello pack!\n'), PREHASHED, trusted))).toBe('PACK_SIGNATURE_INVALID');
  });

  it('does not hold once the trusted comment has changed', () => {
    const forged = PREHASHED.replace('file:a.yaml', 'file:b.yaml');
    expect(() => verifyPack(CONTENT, forged, trusted)).toThrow(/trusted comment was changed/);
  });

  it('of another key is untrusted, and both keys are named', () => {
    expect(codeOf(() => verifyPack(CONTENT, PREHASHED, own))).toBe('PACK_KEY_UNTRUSTED');
    expect(() => verifyPack(CONTENT, PREHASHED, own)).toThrow(new RegExp(`A567EFF1BA99AB45.*${pair.keyId}`));
    expect(codeOf(() => verifyPack(CONTENT, PREHASHED, []))).toBe('PACK_KEY_UNTRUSTED');
  });

  it('of a key that only borrowed the id of a trusted one does not hold', () => {
    const imposter = { keyId: 'A567EFF1BA99AB45', seed: secret.seed };
    const signature = signPack(CONTENT, imposter, 'x');
    expect(codeOf(() => verifyPack(CONTENT, signature, trusted))).toBe('PACK_SIGNATURE_INVALID');
  });

  it('that is none is refused, whatever its bytes', () => {
    for (const text of ['', '\n', 'hello', PREHASHED.slice(0, 120), `${PREHASHED}more\n`, 'x'.repeat(20_000)]) {
      expect(codeOf(() => verifyPack(CONTENT, text, trusted))).toBe('PACK_SIGNATURE_INVALID');
    }
    fc.assert(
      fc.property(fc.nat(PREHASHED.length - 1), fc.integer({ min: 32, max: 126 }), (at, char) => {
        const changed = PREHASHED.slice(0, at) + String.fromCharCode(char) + PREHASHED.slice(at + 1);
        // The words of the untrusted comment are the one thing that may change.
        const sameFrom = 'untrusted comment: '.length;
        const onlyUntrusted = at >= sameFrom && at < PREHASHED.indexOf('\n');
        const code = codeOf(() => verifyPack(CONTENT, changed, trusted));
        if (onlyUntrusted || changed === PREHASHED) expect(code).toBe('none');
        else expect(['PACK_SIGNATURE_INVALID', 'PACK_KEY_UNTRUSTED']).toContain(code);
      }),
      { numRuns: 300 },
    );
  });

  it('has a comment of one line', () => {
    expect(codeOf(() => signPack(CONTENT, secret, 'two\nlines'))).toBe('REQUEST_INVALID');
  });
});

describe('a key file', () => {
  it('that is damaged is refused without repeating any of it', () => {
    expect(codeOf(() => parsePublicKey(SECRET_KEY))).toBe('CONFIG_INVALID');
    expect(codeOf(() => parseSecretKey(PUBLIC_KEY))).toBe('CONFIG_INVALID');
    const damaged = SECRET_KEY.replace('UEHoaB', 'UEHoaC');
    expect(damaged).not.toBe(SECRET_KEY);
    expect(() => parseSecretKey(damaged)).toThrow(/^the secret key is damaged/);
  });
});
