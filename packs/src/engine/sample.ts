import type { ProbeResult } from './outcome.ts';

/** Items of a list beyond this are not looked at: a sample is of one machine. */
export const MAX_SAMPLE_ITEMS = 500;
const MAX_REASON_CHARS = 300;

/** What a probe's process said, as a sample. @param output how the pack says it is to be read */
export function sampleOfProcess(
  output: 'json' | 'text',
  ended: { readonly exitCode: number | undefined; readonly stdout: string; readonly stderr: string },
): ProbeResult {
  const { exitCode, stdout, stderr } = ended;
  if (exitCode === undefined) return { ok: false, error: `it was killed${after(stderr)}` };
  if (output === 'text') return { ok: true, sample: { exit_code: exitCode, stdout, stderr } };
  if (exitCode !== 0) return { ok: false, error: `it ended with code ${exitCode}${after(stderr)}` };
  const sample = parsed(stdout) ?? parsedLines(stdout);
  if (sample !== undefined) return { ok: true, sample };
  return { ok: false, error: `what it printed is no JSON object or list of them${after(stdout)}` };
}

function after(text: string): string {
  const line = text.trim().split('\n')[0] ?? '';
  return line === '' ? '' : `: ${line.slice(0, MAX_REASON_CHARS)}`;
}

function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return isSample(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** An object on each line, as awk prints them with least trouble. */
function parsedLines(text: string): unknown {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const items = lines.map(parsed);
  return lines.length > 0 && items.every((item) => item !== undefined && !Array.isArray(item)) ? items : undefined;
}

function isSample(value: unknown): boolean {
  return typeof value === 'object' && value !== null && (!Array.isArray(value) || value.every(isItem));
}

function isItem(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
