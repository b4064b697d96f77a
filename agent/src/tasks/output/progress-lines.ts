/** A progress line of a task, on stdout: `::progress 40% copying`, `::progress 40%`, `::progress copying`. */
export interface ProgressLine {
  readonly percent: number | undefined;
  readonly note: string;
}

/** A longer line is output. */
export const MAX_PROGRESS_LINE_BYTES = 1024;
const MAX_NOTE_CHARS = 256;
const PREFIX = Buffer.from('::progress');

/** Takes progress lines out of a stream of bytes. Holds back at most one line that may yet become one. */
export interface ProgressFilter {
  /** @returns the bytes that are output, in order */
  push(bytes: Buffer): Buffer[];
  /** At the end of the stream: what was held back. */
  flush(): Buffer[];
}

export function createProgressFilter(onProgress: (line: ProgressLine) => void): ProgressFilter {
  let atLineStart = true;
  /** Begins at a line start. */
  let held: Buffer | undefined;

  return {
    push(chunk) {
      const bytes = held === undefined ? chunk : Buffer.concat([held, chunk]);
      held = undefined;
      const output: Buffer[] = [];
      let from = 0;
      let lineStart = atLineStart ? 0 : nextCandidate(bytes, 0);
      while (lineStart >= 0 && lineStart < bytes.length) {
        const rest = bytes.subarray(lineStart);
        if (!mayBeProgress(rest)) {
          lineStart = nextCandidate(bytes, lineStart);
          continue;
        }
        const newline = rest.indexOf(0x0a);
        if (newline < 0 && rest.length <= MAX_PROGRESS_LINE_BYTES) {
          if (lineStart > from) output.push(bytes.subarray(from, lineStart));
          // A copy: a few held bytes must not keep a large read buffer alive.
          held = Buffer.from(rest);
          atLineStart = true;
          return output;
        }
        const line = newline < 0 ? undefined : parseProgress(rest.subarray(0, newline));
        if (line === undefined) {
          lineStart = nextCandidate(bytes, lineStart);
          continue;
        }
        if (lineStart > from) output.push(bytes.subarray(from, lineStart));
        onProgress(line);
        from = lineStart + newline + 1;
        lineStart = from;
      }
      if (from < bytes.length) output.push(bytes.subarray(from));
      if (bytes.length > 0) atLineStart = bytes[bytes.length - 1] === 0x0a;
      return output;
    },
    flush() {
      const rest = held;
      held = undefined;
      if (rest === undefined) return [];
      const line = parseProgress(rest);
      if (line === undefined) return [rest];
      onProgress(line);
      return [];
    },
  };
}

/** The start of the next line, behind `from`, that begins like a progress line as far as it is there; -1: none. */
function nextCandidate(bytes: Buffer, from: number): number {
  // Not for "\n::progress": newlines are many, and the search goes by the first byte.
  for (let at = bytes.indexOf(PREFIX, from + 1); at >= 0; at = bytes.indexOf(PREFIX, at + 1)) {
    if (bytes[at - 1] === 0x0a) return at;
  }
  // The last line may be cut in the middle of the prefix.
  const tail = bytes.lastIndexOf(0x0a);
  const isCut = tail >= from && bytes.length - tail - 1 < PREFIX.length && tail + 1 < bytes.length;
  return isCut && mayBeProgress(bytes.subarray(tail + 1)) ? tail + 1 : -1;
}

function mayBeProgress(bytes: Buffer): boolean {
  const length = Math.min(bytes.length, PREFIX.length);
  return bytes.compare(PREFIX, 0, length, 0, length) === 0;
}

/** @param line without its newline */
export function parseProgress(line: Buffer): ProgressLine | undefined {
  if (line.length > MAX_PROGRESS_LINE_BYTES) return undefined;
  const match = /^::progress(?: (\d{1,3})%)?(?: +([^\r]*))?\r?$/.exec(line.toString());
  if (match === null) return undefined;
  const percent = match[1] === undefined ? undefined : Number(match[1]);
  // What a terminal would act on has no place in a note.
  const note = (match[2] ?? '')
    .replace(/\p{Cc}/gu, '')
    .slice(0, MAX_NOTE_CHARS)
    .trim();
  if (percent === undefined && note === '') return undefined;
  if (percent !== undefined && percent > 100) return undefined;
  return { percent, note };
}
