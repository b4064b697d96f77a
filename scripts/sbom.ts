// What an image is made of, as SPDX 2.3 on standard output: Node, the packages whose code is in a bundle, and those that lie beside it.
//   node scripts/sbom.ts agent|server CREATED [PACKAGE…]     PACKAGE as package-lock.json names it: node_modules/pg
// Not `npm sbom`: that names what is installed, of which the bundles hold a part, and leaves out what some workspace has for its tests alone.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Locked {
  readonly version: string;
  /** An SPDX expression. */
  readonly license?: string;
  /** `sha512-` and base64. */
  readonly integrity?: string;
}

/** Component → the bundle in its image (scripts/build.mjs). */
const BUNDLES: Readonly<Record<string, string>> = { server: 'openline', agent: 'agent' };

export interface Image {
  readonly component: string;
  readonly version: string;
  /** RFC 3339; of the commit, so that the same commit makes the same list. */
  readonly created: string;
  readonly nodeVersion: string;
  /** As package-lock.json names them. */
  readonly packages: readonly string[];
}

/**
 * @param lock `packages` of package-lock.json
 * @throws Error a package that is not in it
 */
export function sbomOf(image: Image, lock: Readonly<Record<string, Locked>>) {
  const root = described('openline', image.version, `pkg:generic/openline@${image.version}`, 'Apache-2.0');
  const node = described('node', image.nodeVersion, `pkg:generic/node@${image.nodeVersion}`);
  const parts = image.packages.toSorted().map((path) => {
    const locked = lock[path];
    if (locked === undefined) throw new Error(`package-lock.json has no ${path}, which is in the image`);
    const name = path.replace(/^.*node_modules\//, '');
    const purl = `pkg:npm/${name.replace('@', '%40')}@${locked.version}`;
    return { ...described(name, locked.version, purl, locked.license), ...checksums(locked.integrity) };
  });
  // The same version of one package can lie in two places.
  const packages = [...new Map([root, node, ...parts].map((each) => [each.SPDXID, each])).values()];
  const unique = createHash('sha256')
    .update(JSON.stringify([image.created, packages]))
    .digest('hex')
    .slice(0, 32);
  const name = `openline-${image.component}-${image.version}`;
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: 'SPDXRef-DOCUMENT',
    name,
    documentNamespace: `https://spdx.org/spdxdocs/${name}-${unique}`,
    creationInfo: {
      created: new Date(image.created).toISOString().replace(/\.\d+Z$/, 'Z'),
      creators: ['Organization: Openline', 'Tool: openline scripts/sbom.ts'],
    },
    packages,
    relationships: [
      relation('SPDXRef-DOCUMENT', 'DESCRIBES', root.SPDXID),
      relation(root.SPDXID, 'DEPENDS_ON', node.SPDXID),
      ...packages.slice(2).map(({ SPDXID }) => relation(root.SPDXID, 'CONTAINS', SPDXID)),
    ],
  };
}

function described(name: string, version: string, purl: string, license = 'NOASSERTION') {
  return {
    name,
    SPDXID: `SPDXRef-Package-${`${name}-${version}`.replace(/[^\w.-]/g, '.').replaceAll('_', '.')}`,
    versionInfo: version,
    downloadLocation: 'NOASSERTION',
    filesAnalyzed: false,
    licenseDeclared: license,
    externalRefs: [{ referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: purl }],
  };
}

/** package-lock.json knows none of packages that the registry it was made with did not have. */
function checksums(integrity: string | undefined) {
  const base64 = /^sha512-(.+)$/.exec(integrity ?? '')?.[1];
  if (base64 === undefined) return {};
  return { checksums: [{ algorithm: 'SHA512', checksumValue: Buffer.from(base64, 'base64').toString('hex') }] };
}

function relation(spdxElementId: string, relationshipType: string, relatedSpdxElement: string) {
  return { spdxElementId, relationshipType, relatedSpdxElement };
}

if (import.meta.main) {
  const read = (...path: string[]) => JSON.parse(readFileSync(join(import.meta.dirname, '..', ...path), 'utf8'));
  const [component = '', created = '', ...beside] = process.argv.slice(2);
  const bundle = BUNDLES[component];
  if (bundle === undefined) throw new Error('usage: node scripts/sbom.ts agent|server CREATED [PACKAGE…]');
  const image = {
    component,
    version: String(read('package.json').version),
    created,
    nodeVersion: process.versions.node,
    packages: [...read('dist', 'packages.json')[bundle], ...beside],
  };
  console.log(JSON.stringify(sbomOf(image, read('package-lock.json').packages), undefined, 2));
}
