import { describe, expect, it } from 'vitest';
import { withTestDatabase } from '../db/testing.ts';
import type { AuditEntry } from './audit.ts';
import { createAuditLog } from './audit-log.ts';

const db = withTestDatabase();
const entry = (object: string): AuditEntry => ({ principal: 'alice', action: 'test', object, details: { why: ['x'] } });

describe('the audit log', () => {
  it('lists the newest first, page by page', async () => {
    const audit = createAuditLog({ db: db.kysely });
    for (const object of ['a', 'b', 'c']) await audit.record(entry(object));
    const page = await audit.list(2, undefined);
    expect(page.map(({ object }) => object)).toEqual(['c', 'b']);
    const rest = await audit.list(2, page.at(-1)?.seq);
    expect(rest).toEqual([{ ...entry('a'), seq: expect.any(Number), at: expect.any(Date) }]);
  });

  it('has no entry for a change that was rolled back', async () => {
    const audit = createAuditLog({ db: db.kysely });
    const change = db.kysely.transaction().execute(async (tx) => {
      await audit.record(entry('a'), tx);
      throw new Error('out of luck');
    });
    await expect(change).rejects.toThrow('out of luck');
    expect(await audit.list(10, undefined)).toEqual([]);
  });
});
