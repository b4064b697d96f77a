import { glob } from 'node:fs/promises';

/** The paths that match, each once. Directories may be among them. @param most so many are looked at */
export async function expand(patterns: readonly string[], most: number): Promise<string[]> {
  const found = new Set<string>();
  for (const pattern of patterns) {
    // The library for patterns is not loaded for a mere path.
    if (!/[*?[{]/.test(pattern)) found.add(pattern);
    else {
      for await (const path of glob(pattern)) {
        found.add(path);
        if (found.size >= most) break;
      }
    }
  }
  return [...found].sort();
}
