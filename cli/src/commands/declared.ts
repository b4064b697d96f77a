import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type DeclaredFile, type DeclaredObject, DeclaredServiceService } from '@openline/proto/declared';
import { MAX_SERVER_MESSAGE_BYTES } from '@openline/proto/limits';
import { createColors } from 'picocolors';
import { CliError, EXIT, fileProblem, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { readWhole } from '../read-whole.ts';
import { printDocument, printItems, printLines } from '../render/document.ts';
import { renderTable } from '../render/table.ts';
import { formatBytes, plural } from '../render/text.ts';
import { formatAge } from '../render/time.ts';
import { type AppliedView, appliedView, declaredView } from '../views/declared.ts';
import { at } from '../views/values.ts';
import { type GlobalFlags, type OutputFlag, withClient } from './context.ts';

export interface ApplyFlags extends OutputFlag {
  readonly filename?: readonly string[] | undefined;
  readonly dryRun?: boolean | undefined;
}

export async function applyCommand(flags: ApplyFlags, global: GlobalFlags, io: Io): Promise<number> {
  const places = flags.filename ?? [];
  if (places.length === 0) throw usageError('nothing to apply', 'Give -f FILE, -f FOLDER, or -f - for standard input.');
  // Read before the server is asked.
  const files: DeclaredFile[] = [];
  for (const place of places) files.push(...(await readPlace(place, io)));
  const dryRun = flags.dryRun === true;
  const bytes = DeclaredServiceService.applyDeclared.requestSerialize({ files, dryRun }).length;
  if (bytes > MAX_SERVER_MESSAGE_BYTES)
    throw usageError(
      `${places.join(', ')}: ${plural(files.length, 'file')} of ${formatBytes(bytes)} together; one apply takes ${formatBytes(MAX_SERVER_MESSAGE_BYTES)}`,
      'Apply them in several parts.',
    );
  return withClient(global, io, async (client) => {
    const { objects } = await client.unary(DeclaredServiceService.applyDeclared, { files, dryRun });
    const views = objects.map(appliedView);
    if (flags.output !== 'table') await printItems(io, flags.output, views);
    else printLines(io, renderApplied(views, dryRun, io));
    return EXIT.ok;
  });
}

function renderApplied(views: readonly AppliedView[], dryRun: boolean, io: Io): string[] {
  const paint = createColors(io.out.screen().color);
  return views.map(({ kind, name, outcome }) => {
    const text = `${kind}/${name} ${dryRun && outcome !== 'unchanged' ? `would be ${outcome}` : outcome}`;
    return outcome === 'unchanged' ? paint.dim(text) : text;
  });
}

async function readPlace(place: string, io: Io): Promise<DeclaredFile[]> {
  const path = resolve(io.cwd, place);
  let reading = place === '-' ? 'standard input' : place;
  const read = async (from: string | AsyncIterable<Uint8Array>, name: string): Promise<DeclaredFile> => {
    return { name, content: await readWhole(from, 'declared') };
  };
  try {
    if (place === '-') return [await read(io.stdin(), 'stdin')];
    if (!(await stat(path)).isDirectory()) return [await read(path, place)];
    const names = (await readdir(path)).filter((name) => /\.ya?ml$/.test(name)).sort();
    if (names.length === 0) throw usageError(`the folder ${place} has no file that ends in .yaml or .yml`);
    const files: DeclaredFile[] = [];
    for (const name of names) {
      reading = join(place, name);
      files.push(await read(join(path, name), reading));
    }
    return files;
  } catch (error) {
    if (error instanceof CliError) throw error;
    const problem = `cannot read ${reading}: ${fileProblem(error)}`;
    throw new CliError('REQUEST_INVALID', problem, 'Correct the path or what is there.', { cause: error });
  }
}

export function getCommand(
  kind: string | undefined,
  name: string | undefined,
  flags: OutputFlag,
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  return withClient(global, io, async (client) => {
    if (kind === undefined) {
      const { kinds } = await client.unary(DeclaredServiceService.listDeclaredKinds, {});
      if (flags.output !== 'table') await printItems(io, flags.output, kinds);
      else {
        const columns = [
          { title: 'KIND', cell: (each: (typeof kinds)[number]) => each.kind },
          { title: 'NAME', cell: (each: (typeof kinds)[number]) => each.plural },
        ];
        printLines(io, renderTable(columns, kinds, io.out.screen().columns));
      }
      return EXIT.ok;
    }
    if (name !== undefined) {
      const { object } = await client.unary(DeclaredServiceService.getDeclared, { kind, name });
      if (object === undefined) return EXIT.notAll;
      // One object is shown as it was written, which is also what can be changed and applied again.
      if (flags.output === 'table' || flags.output === 'yaml') io.out.write(object.source);
      else await printDocument(io, flags.output, declaredView(object));
      return EXIT.ok;
    }
    const { objects } = await client.unary(DeclaredServiceService.listDeclared, { kind });
    if (flags.output === 'yaml') io.out.write(objects.map(({ source }) => source).join('---\n'));
    else if (flags.output !== 'table') await printItems(io, flags.output, objects.map(declaredView));
    else if (objects.length === 0) io.err.write(`no ${kind} yet\n→ \`openline apply -f FILE\` declares them\n`);
    else printLines(io, renderObjects(objects, io));
    return EXIT.ok;
  });
}

function renderObjects(objects: readonly DeclaredObject[], io: Io): string[] {
  const columns = [
    { title: 'KIND', cell: (object: DeclaredObject) => object.kind },
    { title: 'NAME', cell: (object: DeclaredObject) => object.name },
    {
      title: 'APPLIED',
      cell: (object: DeclaredObject) => formatAge(at(declaredView(object).metadata.updatedAt), io.nowMs()),
    },
    { title: 'BY', cell: (object: DeclaredObject) => object.updatedBy, shrinks: true },
  ];
  return renderTable(columns, objects, io.out.screen().columns);
}

export function deleteCommand(kind: string, names: readonly string[], global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    for (const name of names) {
      const { object } = await client.unary(DeclaredServiceService.deleteDeclared, { kind, name });
      io.out.write(`${object?.kind ?? kind}/${object?.name ?? name} is deleted\n`);
    }
    return EXIT.ok;
  });
}
