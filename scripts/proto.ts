import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const exec = promisify(execFile);
const protoDir = join(import.meta.dirname, '..', 'proto');

/** TypeScript from the .proto files, by buf and ts-proto. @param into a folder that gets `gen/`; default: proto/ */
export async function generateProto(into = protoDir): Promise<void> {
  await exec('buf', ['generate', '-o', into], { cwd: protoDir });
}

/** Generated files that differ from what the .proto files give now; empty when there is no drift. */
export async function protoDrift(): Promise<string[]> {
  const fresh = await mkdtemp(join(tmpdir(), 'openline-generate-'));
  try {
    await generateProto(fresh);
    const [want, have] = await Promise.all([filesIn(join(fresh, 'gen')), filesIn(join(protoDir, 'gen'))]);
    const names = new Set([...want.keys(), ...have.keys()]);
    return [...names].filter((name) => want.get(name) !== have.get(name)).sort();
  } finally {
    await rm(fresh, { recursive: true });
  }
}

async function filesIn(dir: string): Promise<Map<string, string>> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return new Map(
    await Promise.all(
      files.map(async (file) => [file.slice(dir.length + 1), await readFile(file, 'utf8')] satisfies [string, string]),
    ),
  );
}
