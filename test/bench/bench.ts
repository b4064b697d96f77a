// `npm run bench -- [--events] [--agents N] [--rounds R] [--json]`: Openline beside the bare libraries, in one run on one machine.
// docs/performance.md says what the figures mean and what bounds them.
import { parseArgs } from 'node:util';
import { cleanup } from '../harness/index.ts';
import { benchEvents } from './events.ts';
import { benchLink } from './link.ts';

const { values } = parseArgs({
  options: {
    events: { type: 'boolean', default: false },
    agents: { type: 'string' },
    rounds: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

function positive(flag: 'agents' | 'rounds', fallback: number): number {
  const value = Number(values[flag] ?? fallback);
  if (Number.isInteger(value) && value > 0) return value;
  console.error(`--${flag} must be a whole number above 0`);
  process.exit(2);
}

if (values.events && values.rounds !== undefined) {
  console.error('--rounds does not go with --events');
  process.exit(2);
}
try {
  const result = values.events
    ? await benchEvents(positive('agents', 1_000))
    : await benchLink(positive('agents', 500), positive('rounds', 15));
  console.log(JSON.stringify(result, undefined, values.json ? undefined : 2));
} finally {
  await cleanup();
}
