// How many events a second the rules of one agent take, the whole way that they go there: `node test/bench/agent-events.ts`. docs/performance.md
import { execFile } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { createEventLog } from '../../agent/src/event-log.ts';
import { scratchDir } from '../harness/index.ts';
import { ROOT } from '../harness/paths.ts';
import { RULES, sampleEvents } from './fifty-rules.ts';
import { significant } from './statistics.ts';

const exec = promisify(execFile);

/** Plain JSON. */
export interface AgentEventsResult {
  readonly rules: number;
  readonly events: number;
  /** From the first batch that is read until the last conclusion is on disk, and read back to be sent: of one process, its start not counted. */
  readonly matched_per_s: number;
  /** The same by the processor time of the process: what the machine does besides does not count. */
  readonly matched_per_cpu_s: number;
  /** The same lines, read in the same pieces and split, and nothing else, by the same Node with the same flags. */
  readonly bare_lines_per_s: number;
  /** How many records, gathered by rule and key, the events became. */
  readonly records: number;
  readonly rss_mb: number;
}

/**
 * Fills an agent's event log while nobody reads it, and lets the rules of an agent, in a process with an agent's flags, catch up with it.
 * @param events fewer than the log holds (64 MiB); default 200,000
 */
export async function measureAgentEvents(events = 200_000): Promise<AgentEventsResult> {
  // On a real disk: /tmp may be memory, where a sync costs nothing.
  const directory = scratchDir('bench-agent-events', join(ROOT, '.openline'));
  try {
    const program = join(directory, 'load.mjs');
    await build({
      entryPoints: [join(import.meta.dirname, 'agent-events-load.ts')],
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: program,
      banner: { js: "import {createRequire} from 'node:module';const require=createRequire(import.meta.url);" },
      logLevel: 'error',
      minify: true,
    });
    const load = async (what: string): Promise<Record<string, number>> => {
      const { stdout } = await exec(process.execPath, [program, what, directory, String(events)], { timeout: 300_000 });
      return JSON.parse(stdout);
    };
    mkdirSync(join(directory, 'events'));
    await load('prepare');
    await fill(join(directory, 'events'), events);
    const bare = await load('bare');
    const { seconds = 0, cpuSeconds = 0, detected = 0, records = 0, rssMb = 0 } = await load('read');
    // Of each threshold a few wait for more.
    if (detected < events * 0.98 || detected > events) throw new Error(`${detected} of ${events} events were detected`);
    return {
      rules: RULES,
      events,
      matched_per_s: significant(events / seconds),
      matched_per_cpu_s: significant(events / cpuSeconds),
      bare_lines_per_s: significant(events / (bare['seconds'] ?? 0)),
      records,
      rss_mb: significant(rssMb),
    };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function fill(directory: string, events: number): Promise<void> {
  const log = createEventLog({ directory });
  const sample = sampleEvents('agent').map(({ source, id, level, message, data }) => ({
    source,
    id,
    level,
    message,
    data,
  }));
  for (let written = 0; written < events; written += sample.length) await log.append(sample.slice(0, events - written));
  await log.append([{ source: 'the-end', id: '', level: 'info', message: 'the end', data: {} }]);
}

if (import.meta.main) console.log(JSON.stringify(await measureAgentEvents(), undefined, 2));
