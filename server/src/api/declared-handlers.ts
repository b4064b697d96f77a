import { type DeclaredObject, DeclaredOutcome, type DeclaredServiceService } from '@openline/proto/declared';
import { z } from 'zod';
import type { ApplyOutcome, DeclaredService } from '../declared/declared-service.ts';
import type { DeclaredRow } from '../declared/declared-store.ts';
import { name, readRequest, text } from './fields.ts';
import type { Handlers } from './serve.ts';
import { unixMs } from './times.ts';

export interface DeclaredDeps {
  readonly declared: Pick<DeclaredService, 'apply' | 'list' | 'get' | 'remove' | 'kinds'>;
}

const MAX_FILES = 500;

const File = z.object({
  // Only shown; a control character would only confuse the reader.
  name: text(1024).transform((file) => file.replace(/\p{Cc}/gu, '') || 'file'),
  // Its size is looked at where its name is known.
  content: z.instanceof(Uint8Array),
});
const Apply = z.object({
  files: z.array(File).min(1, 'no file').max(MAX_FILES, `more than ${MAX_FILES} files`),
  dryRun: z.boolean(),
});
const kind = name('say which kind, e.g. channels', 100);
const OfKind = z.object({ kind });
const ByName = z.object({ kind, name: name('give the name of the object', 100) });

const OUTCOMES = {
  created: DeclaredOutcome.DECLARED_OUTCOME_CREATED,
  changed: DeclaredOutcome.DECLARED_OUTCOME_CHANGED,
  unchanged: DeclaredOutcome.DECLARED_OUTCOME_UNCHANGED,
} as const satisfies Record<ApplyOutcome, DeclaredOutcome>;

export function declaredHandlers({ declared }: DeclaredDeps): Handlers<typeof DeclaredServiceService> {
  return {
    async applyDeclared(request, { principal }) {
      const { files, dryRun } = readRequest(Apply, request);
      const applied = await declared.apply(principal, files, { dryRun });
      return { objects: applied.map((object) => ({ ...object, outcome: OUTCOMES[object.outcome] })) };
    },
    async listDeclared(request) {
      return { objects: (await declared.list(readRequest(OfKind, request).kind)).map(objectMessage) };
    },
    async getDeclared(request) {
      const wanted = readRequest(ByName, request);
      return { object: objectMessage(await declared.get(wanted.kind, wanted.name)) };
    },
    async deleteDeclared(request, { principal }) {
      const wanted = readRequest(ByName, request);
      return { object: objectMessage(await declared.remove(principal, wanted.kind, wanted.name)) };
    },
    async listDeclaredKinds() {
      return { kinds: declared.kinds().map(({ kind, plural }) => ({ kind, plural })) };
    },
  };
}

function objectMessage({ kind, name, spec, source, updatedBy, updatedAt }: DeclaredRow): DeclaredObject {
  return { kind, name, specJson: JSON.stringify(spec), source, updatedBy, updatedUnixMs: unixMs(updatedAt) };
}
