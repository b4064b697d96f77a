/** The known words that a mistyped one probably meant, best first; at most three. */
export function suggest(wanted: string, known: Iterable<string>): string[] {
  const tolerated = Math.max(1, Math.floor(wanted.length / 3));
  return [...known]
    .map((word) => ({ word, distance: word.startsWith(wanted) ? 0 : editDistance(wanted, word, tolerated) }))
    .filter(({ distance }) => distance <= tolerated)
    .sort((a, b) => a.distance - b.distance || (a.word < b.word ? -1 : 1))
    .slice(0, 3)
    .map(({ word }) => word);
}

/** `; did you mean «a» or «b»?`, or nothing. */
export function didYouMean(wanted: string, known: Iterable<string>): string {
  const words = suggest(wanted, known).map((word) => `«${word}»`);
  return words.length === 0 ? '' : `; did you mean ${words.join(' or ')}?`;
}

const MAX_COMPARED_CHARS = 128;

/** Insertions, deletions, replacements and swaps of neighbours; anything above `limit` is `limit + 1`. */
export function editDistance(a: string, b: string, limit: number): number {
  const tooFar = limit + 1;
  if (Math.abs(a.length - b.length) > limit || a.length > MAX_COMPARED_CHARS) return tooFar;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = at(last, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let best = Math.min(replaced, at(last, j) + 1, at(row, j - 1) + 1);
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, at(beforeLast, j - 2) + 1);
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return Math.min(at(last, b.length), tooFar);
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}
