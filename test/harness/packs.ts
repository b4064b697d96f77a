import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { parseSecretKey, signPack } from '@openline/packs';
import { eventually } from './eventually.ts';
import { TEST_PACK } from './paths.ts';
import type { TestServer } from './server.ts';

/** Signs a pack with the server's site key, which its agents trust. */
export async function signWithSiteKey(server: TestServer, content: Buffer): Promise<string> {
  const key = parseSecretKey(await readFile(join(server.dataDir, 'keys', 'packs.key'), 'utf8'));
  return signPack(content, key, 'signed for a test');
}

/** Signs and pushes pack files; by default the test pack. */
export async function pushPacks(server: TestServer, files: readonly string[] = [TEST_PACK]): Promise<void> {
  for (const file of files) {
    const content = await readFile(file);
    await server.operator.pushPack(content, await signWithSiteKey(server, content), basename(file));
  }
}

/** Waits until every connected agent holds every pack that is wanted of it. */
export async function packsHeld(server: TestServer, timeoutMs = 30_000): Promise<void> {
  await eventually(
    async () => (await server.operator.packs()).every((pack) => pack.readyAgents >= pack.connectedAgents),
    { what: 'all agents to hold all packs', timeoutMs },
  );
}
