import { AccessServiceService } from '@openline/proto/operator';
import { EXIT, usageError } from '../failure.ts';
import type { Io } from '../io.ts';
import { printItems, printLines } from '../render/document.ts';
import { renderTable } from '../render/table.ts';
import { formatAge } from '../render/time.ts';
import { type AuditView, auditView } from '../views/access.ts';
import { at } from '../views/values.ts';
import { type GlobalFlags, type OutputFlag, withClient } from './context.ts';

export function listAudit(flags: OutputFlag & { limit: string }, global: GlobalFlags, io: Io): Promise<number> {
  const limit = Number(flags.limit);
  if (!Number.isInteger(limit) || limit < 1) throw usageError('--limit is not a whole number above 0');
  return withClient(global, io, async (client) => {
    const entries: AuditView[] = [];
    let pageToken = '';
    do {
      const page = await client.unary(AccessServiceService.listAudit, {
        limit: Math.min(1000, limit - entries.length),
        pageToken,
      });
      entries.push(...page.entries.map(auditView));
      pageToken = page.nextPageToken;
    } while (pageToken !== '' && entries.length < limit);
    if (flags.output !== 'table') {
      await printItems(io, flags.output, entries);
      return EXIT.ok;
    }
    const nowMs = io.nowMs();
    const table = renderTable(
      [
        { title: 'SEQ', cell: (entry) => String(entry.seq) },
        { title: 'WHEN', cell: (entry) => formatAge(at(entry.at), nowMs) },
        { title: 'WHO', cell: (entry) => entry.principal, shrinks: true },
        { title: 'ACTION', cell: (entry) => entry.action },
        { title: 'OBJECT', cell: (entry) => entry.object, shrinks: true },
        { title: 'DETAILS', cell: (entry) => JSON.stringify(entry.details), shrinks: true },
      ],
      entries,
      io.out.screen().columns,
    );
    printLines(io, table);
    return EXIT.ok;
  });
}
