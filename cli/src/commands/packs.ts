import { writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { AccessServiceService, PackServiceService } from '@openline/proto/operator';
import { candidates, findLocalServer } from '../config/local-server.ts';
import { CliError, EXIT, writeProblem } from '../failure.ts';
import type { Io } from '../io.ts';
import { printDocument, printItems, printLines } from '../render/document.ts';
import { type Column, renderTable } from '../render/table.ts';
import { formatAge } from '../render/time.ts';
import { type PackView, packView } from '../views/pack.ts';
import { at } from '../views/values.ts';
import { type GlobalFlags, type OutputFlag, withClient } from './context.ts';
import { contentsText, findPackFile, signatureFor } from './pack-files.ts';
import { renderPack, renderTask } from './pack-show.ts';
import { findTask, splitTask } from './run.ts';

export function listPacks(flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    const { packs } = await client.unary(PackServiceService.listPacks, {});
    const views = packs.map(packView);
    if (flags.output !== 'table') await printItems(io, flags.output, views);
    else if (views.length === 0)
      io.err.write(
        'no packs yet\n→ `openline packs push utility` and `openline packs push linux` push the shipped ones\n',
      );
    else printLines(io, renderPacks(views, io));
    return EXIT.ok;
  });
}

function renderPacks(packs: readonly PackView[], io: Io): string[] {
  const columns: Column<PackView>[] = [
    { title: 'NAME', cell: (pack) => pack.name },
    { title: 'VERSION', cell: (pack) => pack.version },
    { title: 'TASKS', cell: (pack) => String(pack.tasks.length) },
    { title: 'RULES', cell: (pack) => String(pack.ruleCount) },
    { title: 'MONITORS', cell: (pack) => String(pack.monitorCount) },
    {
      title: 'AGENTS',
      cell: (pack) =>
        `${pack.readyAgents}/${pack.connectedAgents} ready${pack.refusedAgents > 0 ? `, ${pack.refusedAgents} refused` : ''}`,
    },
    { title: 'DIGEST', cell: (pack) => pack.digest.slice(0, 12) },
    { title: 'PUSHED', cell: (pack) => formatAge(at(pack.pushedAt), io.nowMs()) },
    { title: 'TITLE', cell: (pack) => pack.title, shrinks: true },
  ];
  return renderTable(columns, packs, io.out.screen().columns);
}

export function showPack(ref: string, flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    if (ref.includes('/')) {
      const { packRef, taskName } = splitTask(ref);
      const task = await findTask(client, packRef, taskName);
      if (flags.output !== 'table') await printDocument(io, flags.output, task);
      else printLines(io, renderTask(ref, task, io.out.screen()));
      return EXIT.ok;
    }
    const { pack } = await client.unary(PackServiceService.getPack, { pack: ref });
    if (pack === undefined)
      throw new CliError('PACK_UNKNOWN', `there is no pack ${ref}`, '`openline packs list` shows the packs.');
    const view = packView(pack);
    if (flags.output !== 'table') await printDocument(io, flags.output, view);
    else printLines(io, renderPack(view, io.out.screen(), io.nowMs()));
    return EXIT.ok;
  });
}

export async function pushPacks(
  files: readonly string[],
  flags: OutputFlag & { key?: string | undefined },
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  // All are read and signed before the first is pushed: a mistake in the second file changes nothing.
  const read = await Promise.all(files.map((file) => findPackFile(file, io)));
  return withClient(global, io, async (client) => {
    // Without a server there is no key of its either, and the key is not what is wrong then.
    await client.unary(AccessServiceService.whoAmI, {});
    const { found } = await findLocalServer(candidates(io.cwd, io.env, io.home));
    const packs = await Promise.all(
      read.map(async ({ path, content }) => ({
        path,
        content,
        ...(await signatureFor({ path, content, key: flags.key, localServer: found?.path, io })),
      })),
    );
    for (const { path, content, signature, signedBy } of packs) {
      const answer = await client.unary(PackServiceService.pushPack, { content, signature, fileName: basename(path) });
      const view = answer.pack === undefined ? undefined : packView(answer.pack);
      if (flags.output !== 'table') await printDocument(io, flags.output, { ...view, unchanged: answer.unchanged });
      else if (view !== undefined) {
        const what = `${view.name} ${view.version} (${contentsText(view.tasks.length, view.ruleCount, view.monitorCount)}, ${view.digest.slice(0, 12)})`;
        io.out.write(answer.unchanged ? `${what} was there already\n` : `${what} pushed, signed by ${signedBy}\n`);
      }
    }
    return EXIT.ok;
  });
}

export function removePack(name: string, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    await client.unary(PackServiceService.removePack, { name });
    io.out.write(`pack ${name} is removed\n`);
    return EXIT.ok;
  });
}

export function pullPack(
  ref: string,
  flags: { dir?: string | undefined },
  global: GlobalFlags,
  io: Io,
): Promise<number> {
  return withClient(global, io, async (client) => {
    const { pack, content, signature } = await client.unary(PackServiceService.getPack, { pack: ref });
    if (pack === undefined)
      throw new CliError('PACK_UNKNOWN', `there is no pack ${ref}`, '`openline packs list` shows the packs.');
    // The name is a pack's own; basename keeps a strange server from choosing the folder.
    const path = join(resolve(io.cwd, flags.dir ?? '.'), basename(`${pack.name}-${pack.version}.yaml`));
    for (const file of await pullPackFiles(path, content, signature)) io.out.write(`${file}\n`);
    return EXIT.ok;
  });
}

/** Replaces nothing. @returns what was written */
export async function pullPackFiles(
  path: string,
  content: Uint8Array,
  signature: string | undefined,
): Promise<string[]> {
  const files: [string, string | Uint8Array][] = [[path, content]];
  if (signature !== undefined) files.push([`${path}.minisig`, signature]);
  for (const [file, bytes] of files) {
    try {
      await writeFile(file, bytes, { flag: 'wx' });
    } catch (error) {
      const next = 'Choose another folder with --dir, or move the file that is there.';
      throw new CliError('REQUEST_INVALID', `cannot write ${file}: ${writeProblem(error)}`, next, { cause: error });
    }
  }
  return files.map(([file]) => file);
}
