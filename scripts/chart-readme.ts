// The table of values in the chart's README, made of the comments (`# -- …`) in its values.yaml.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml';

const chart = join(import.meta.dirname, '..', 'charts', 'openline');
const readme = join(chart, 'README.md');
const BEGIN = '<!-- values: begin (made from values.yaml by `npm run generate`) -->\n';
const END = '<!-- values: end -->\n';

export async function generateChartReadme(): Promise<void> {
  await writeFile(readme, await renderChartReadme());
}

/** @returns what is to be done, when the README is not what its sources say */
export async function chartReadmeDrift(): Promise<string | undefined> {
  if ((await readFile(readme, 'utf8')) === (await renderChartReadme())) return undefined;
  return 'charts/openline/README.md differs from values.yaml; run `npm run generate`';
}

async function renderChartReadme(): Promise<string> {
  const text = await readFile(readme, 'utf8');
  const [from, to] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`${readme} has no place for the values: ${BEGIN}${END}`);
  const { contents } = parseDocument(await readFile(join(chart, 'values.yaml'), 'utf8'));
  if (!isMap(contents)) throw new Error('values.yaml is no mapping');
  const table = ['| Key | Default | What it does |', '| --- | --- | --- |', ...rowsOf(contents, '')];
  return `${text.slice(0, from)}${BEGIN}\n${table.join('\n')}\n\n${text.slice(to)}`;
}

/** A block of keys that is explained as a whole, and in which none is explained, is one row. */
function rowsOf(map: YAMLMap, path: string): string[] {
  return map.items.flatMap((pair, index) => {
    const { key, value } = pair;
    if (!isScalar(key)) throw new Error(`values.yaml: ${path} has a key that is no word`);
    const name = `${path}${key.value}`;
    const description = descriptionOf(pair, index === 0 ? map : undefined);
    const block = isMap(value) && value.flow !== true && (description === '' || explains(value)) ? value : undefined;
    const row = `| \`${name}\` | ${block === undefined ? defaultOf(value) : ''} | ${description} |`;
    if (block === undefined) return [row];
    return [...(description === '' ? [] : [row]), ...rowsOf(block, `${name}.`)];
  });
}

function explains(map: YAMLMap): boolean {
  return map.items.some(
    (pair, index) =>
      descriptionOf(pair, index === 0 ? map : undefined) !== '' || (isMap(pair.value) && explains(pair.value)),
  );
}

/** @param owner of its first pair: the parser gives that pair's comment to the mapping */
function descriptionOf({ key }: Pair, owner: YAMLMap | undefined): string {
  const comment = (isScalar(key) ? key.commentBefore : undefined) ?? owner?.commentBefore ?? '';
  return (
    /^ -- (.*)/s
      .exec(comment)?.[1]
      ?.replace(/\s*\n\s*/g, ' ')
      .replaceAll('|', '\\|') ?? ''
  );
}

function defaultOf(value: unknown): string {
  const plain = isScalar(value) ? value.value : hasJson(value) ? value.toJSON() : value;
  return plain === '' ? '' : `\`${typeof plain === 'string' ? plain : JSON.stringify(plain)}\``;
}

function hasJson(value: unknown): value is { toJSON(): unknown } {
  return typeof value === 'object' && value !== null && 'toJSON' in value;
}
