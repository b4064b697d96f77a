import { AccessServiceService } from '@openline/proto/operator';
import { EXIT } from '../failure.ts';
import type { Io } from '../io.ts';
import { printDocument, printLines } from '../render/document.ts';
import { formatAge } from '../render/time.ts';
import { VERSION } from '../version.ts';
import { whoAmIView } from '../views/access.ts';
import { at } from '../views/values.ts';
import { type GlobalFlags, type OutputFlag, withClient } from './context.ts';

export function whoAmI(flags: OutputFlag, global: GlobalFlags, io: Io): Promise<number> {
  return withClient(global, io, async (client) => {
    const view = whoAmIView(await client.unary(AccessServiceService.whoAmI, {}), client.connection.address.text);
    if (flags.output !== 'table') await printDocument(io, flags.output, view);
    else
      printLines(io, [
        `${view.tokenName} (${view.role}) at ${view.server}`,
        `server ${view.serverVersion}, started ${formatAge(at(view.serverStartedAt), io.nowMs())}, ${view.agentsConnected} agents connected`,
        `agents join at ${view.agentAddress ?? `port ${view.agentPort}`}, CA hash ${view.caHash}`,
      ]);
    return EXIT.ok;
  });
}

export async function version(flags: OutputFlag, io: Io): Promise<number> {
  const view = { version: VERSION, node: process.version, platform: `${process.platform}-${process.arch}` };
  if (flags.output !== 'table') await printDocument(io, flags.output, view);
  else io.out.write(`openline ${view.version} (Node ${view.node}, ${view.platform})\n`);
  return EXIT.ok;
}
