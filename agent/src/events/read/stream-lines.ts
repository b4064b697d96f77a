/** Cuts a stream into lines. Unlike a file it cannot be read again, so what has no end yet is kept; but only so much. */
export interface StreamLines {
  /** @returns the lines that end in it, without their ends, and how many were too long */
  push(chunk: Buffer): { lines: string[]; tooLong: number };
}

/** @param maxBytes of a line */
export function createStreamLines(maxBytes: number): StreamLines {
  let kept: Buffer[] = [];
  /** More than `maxBytes`: nothing is kept, and the line is too long. */
  let keptBytes = 0;

  function keep(bytes: Buffer): void {
    keptBytes += bytes.length;
    if (keptBytes > maxBytes) kept = [];
    // A copy: the bytes may lie in a large chunk that would stay in memory with them.
    else if (bytes.length > 0) kept.push(Buffer.from(bytes));
  }

  return {
    push(chunk) {
      const lines: string[] = [];
      let tooLong = 0;
      let start = 0;
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
        const bytes = chunk.subarray(start, end);
        start = end + 1;
        if (keptBytes + bytes.length > maxBytes) tooLong++;
        else lines.push(kept.length === 0 ? bytes.toString('utf8') : Buffer.concat([...kept, bytes]).toString('utf8'));
        kept = [];
        keptBytes = 0;
      }
      keep(chunk.subarray(start));
      return { lines, tooLong };
    },
  };
}
