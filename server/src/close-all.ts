/**
 * The last first, and each whatever becomes of the others: what was opened first is what others need to the end, and a PostgreSQL that is not
 * stopped outlives the process.
 * @throws the first failure, when all are done
 */
export async function closeAll(closers: readonly (() => Promise<void> | void)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const close of closers.toReversed()) {
    try {
      await close();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
}
