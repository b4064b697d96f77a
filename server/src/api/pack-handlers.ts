import type { PackTask, Runner } from '@openline/packs';
import { MAX_PACK_BYTES } from '@openline/proto/limits';
import type * as proto from '@openline/proto/operator';
import { z } from 'zod';
import type { PackHolders } from '../packs/pack-holders.ts';
import type { PackService, StoredPack } from '../packs/pack-service.ts';
import { name, readRequest, text } from './fields.ts';
import type { Handlers } from './serve.ts';
import { unixMs } from './times.ts';

export interface PackDeps {
  readonly packs: Pick<PackService, 'push' | 'remove' | 'list' | 'get'>;
  /** packs/pack-holders.ts */
  readPackHolders(): Promise<PackHolders>;
}

const Push = z.object({
  content: z
    .instanceof(Uint8Array)
    .refine((bytes) => bytes.length > 0, 'is empty')
    .refine((bytes) => bytes.length <= MAX_PACK_BYTES, `more than ${MAX_PACK_BYTES} bytes`),
  signature: name('send what is in the .minisig file', 4096),
  // Only shown; a path or a control character would only confuse the reader.
  fileName: text(256).transform((file) => file.replace(/^.*[/\\]/, '').replace(/\p{Cc}/gu, '') || 'pack.yaml'),
});
const ByRef = z.object({ pack: name('give a pack as name or name@version') });
const ByName = z.object({ name: name('give the name of a pack') });

export function packHandlers({ packs, readPackHolders }: PackDeps): Handlers<typeof proto.PackServiceService> {
  return {
    async pushPack(request, { principal }) {
      const { content, signature, fileName } = readRequest(Push, request);
      const { stored, unchanged } = await packs.push(principal, Buffer.from(content), signature, fileName);
      return { pack: packMessage(stored, await readPackHolders()), unchanged };
    },
    async listPacks() {
      const holders = await readPackHolders();
      return { packs: packs.list().map((stored) => packMessage(stored, holders)) };
    },
    async getPack(request) {
      const stored = packs.get(readRequest(ByRef, request).pack);
      const { content, signature } = stored;
      return { pack: packMessage(stored, await readPackHolders()), content, signature };
    },
    async removePack(request, { principal }) {
      await packs.remove(principal, readRequest(ByName, request).name);
      return {};
    },
  };
}

function packMessage({ pack, ...stored }: StoredPack, holders: PackHolders): proto.Pack {
  const { ready, refused } = holders.byDigest.get(stored.digest.toString('hex')) ?? { ready: 0, refused: 0 };
  return {
    name: pack.name,
    version: pack.version,
    digest: stored.digest,
    title: pack.title,
    description: pack.description,
    keyId: stored.keyId,
    pushedUnixMs: unixMs(stored.pushedAt),
    pushedBy: stored.pushedBy,
    tasks: [...pack.tasks.values()].map(taskMessage),
    ruleCount: pack.rules.size,
    monitorCount: pack.monitors.size,
    readyAgents: ready,
    refusedAgents: refused,
    connectedAgents: holders.connectedAgents,
  };
}

function taskMessage(task: PackTask): proto.PackTask {
  return {
    name: task.name,
    title: task.title,
    description: task.description,
    risk: task.risk,
    timeoutMs: task.timeoutMs,
    parametersSchemaJson: JSON.stringify(task.parametersSchema),
    requiresJson: JSON.stringify(task.requires),
    runner: runnerText(task.runner),
    examplesJson: task.examples.map(({ parameters }) => JSON.stringify(parameters)),
  };
}

function runnerText(runner: Runner): string {
  switch (runner.kind) {
    case 'command':
      return `command: ${runner.program}`;
    case 'script':
      return `script: ${runner.interpreter}`;
    case 'builtin':
      return `builtin: ${runner.name}`;
    default:
      return runner satisfies never;
  }
}
