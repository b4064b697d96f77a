import { parseArgs } from 'node:util';
import { print } from './report.ts';
import type { Scenario } from './scenario.ts';
import { SCENARIOS } from './scenarios/index.ts';

const USAGE = `npm run test:kind                        all scenarios, in a cluster that is made for them and deleted at the end
npm run test:kind -- NAME …              only these
npm run test:kind -- --list              which there are
  --keep             leave the cluster as it is at the end
  --cluster NAME     use this cluster of kind (made when it is not there), and keep it; what is in its namespace openline is removed
  --report FILE      write what passed and failed, as JSON
Needs docker, kind, kubectl and helm on the PATH. KIND_NODE_IMAGE names another node image.`;

export interface Options {
  /** In their order. */
  readonly scenarios: readonly Scenario[];
  /** undefined: one of its own. */
  readonly cluster: string | undefined;
  readonly keep: boolean;
  readonly report: string | undefined;
}

/** @returns an exit code when there is nothing to run */
export function readOptions(argv: string[]): Options | number {
  try {
    const { values, positionals } = parseArgs({
      args: argv,
      allowPositionals: true,
      options: {
        list: { type: 'boolean' },
        keep: { type: 'boolean' },
        cluster: { type: 'string' },
        report: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (values.help === true) print(USAGE);
    if (values.list === true) for (const { name, title } of SCENARIOS) print(`${name.padEnd(18)} ${title}`);
    if (values.help === true || values.list === true) return 0;
    const unknown = positionals.filter((name) => !SCENARIOS.some((scenario) => scenario.name === name));
    if (unknown.length > 0) throw new Error(`there is no scenario ${unknown.join(', ')}; --list shows those there are`);
    return {
      scenarios: SCENARIOS.filter(({ name }) => positionals.length === 0 || positionals.includes(name)),
      cluster: values.cluster,
      keep: values.keep === true || values.cluster !== undefined,
      report: values.report,
    };
  } catch (error) {
    console.error(`test:kind: ${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return 2;
  }
}
