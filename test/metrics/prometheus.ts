import { execFile, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { eventually, startProcess } from '../harness/index.ts';
import { stablePort } from '../harness/ports.ts';

const exec = promisify(execFile);

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Rule {
  readonly name: string;
  readonly health: string;
  readonly lastError: string;
  readonly state: string;
}

export interface Prometheus {
  query(expr: string): Promise<readonly Sample[]>;
  labelValues(label: string, match: string): Promise<readonly string[]>;
  rules(): Promise<readonly Rule[]>;
}

/** @throws Error that says what is missing, and how to get it */
export async function requireTools(): Promise<void> {
  for (const tool of ['prometheus', 'promtool']) {
    await exec(tool, ['--version']).catch((cause) => {
      throw new Error(
        `${tool} is not on the PATH. On Debian: \`apt-get install --no-install-recommends prometheus\`, which also starts one on port 9090; without that: ` +
          '`apt-get download prometheus && dpkg-deb -x prometheus_*.deb DIR`, and DIR/usr/bin on the PATH.',
        { cause },
      );
    });
  }
}

export async function promtool(...args: readonly string[]): Promise<string> {
  const { stdout, stderr } = await exec('promtool', args);
  return stdout + stderr;
}

/** @returns what promtool says against metrics of ours; the names of Node's own are its library's */
export function lintMetrics(text: string): readonly string[] {
  const { stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  return `${stdout}${stderr}`.split('\n').filter((line) => line.startsWith('openline_') || line.includes('error'));
}

type Answer<T> =
  | { readonly status: 'success'; readonly data: T }
  | { readonly status: 'error'; readonly errorType: string; readonly error: string };

export interface Target {
  readonly job: string;
  readonly addresses: readonly string[];
}

/** A real one that scrapes these every two seconds, with the labels that they have in a cluster. */
export async function startPrometheus(dir: string, targets: readonly Target[], rulesFile: string): Promise<Prometheus> {
  const config = {
    global: { scrape_interval: '2s', scrape_timeout: '2s', evaluation_interval: '1s' },
    rule_files: [rulesFile],
    scrape_configs: targets.map(({ job, addresses }) => ({
      job_name: job,
      static_configs: [{ targets: addresses, labels: { namespace: 'openline' } }],
    })),
  };
  // YAML is a superset of it.
  await writeFile(join(dir, 'prometheus.yml'), JSON.stringify(config));
  const port = await stablePort();
  const address = `127.0.0.1:${port}`;
  const child = startProcess(
    'prometheus',
    [
      `--config.file=${join(dir, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(dir, 'prometheus')}`,
      `--web.listen-address=${address}`,
    ],
    { cwd: dir },
  );

  async function get<T>(path: string, parameters: Readonly<Record<string, string>> = {}): Promise<T> {
    const response = await fetch(`http://${address}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const answer = (await response.json()) as Answer<T>;
    if (answer.status === 'error') throw new Error(`${path}: ${answer.errorType}: ${answer.error}`);
    return answer.data;
  }

  await eventually(
    async () => {
      if (child.hasExited()) throw new Error(`Prometheus ended at its start:\n${child.tail()}`);
      return (await fetch(`http://${address}/-/ready`).catch(() => undefined))?.ok;
    },
    { what: 'Prometheus', timeoutMs: 60_000 },
  );
  return {
    async query(expr) {
      const { result } = await get<{ result: { metric: Record<string, string>; value: [number, string] }[] }>('query', {
        query: expr,
      });
      return result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
    },
    labelValues: (label, match) => get(`label/${label}/values`, { 'match[]': match }),
    async rules() {
      const { groups } = await get<{ groups: { rules: Rule[] }[] }>('rules');
      return groups.flatMap(({ rules }) => rules);
    },
  };
}
