import type { ReadOutputResponse } from '@openline/proto/operator';
import { formatCount, printable } from '../render/text.ts';
import { type DispatchView, isOpen } from '../views/run.ts';

/** Counts what came of the output of each target, so that none can be short in silence: whatever ended the reading, the result says how much there is. */
export interface Tally {
  part(part: Pick<ReadOutputResponse, 'agentId' | 'offset' | 'data'>): void;
  /** A line for each target that has ended and of whose kept output not all came; none when nothing is missing. */
  missing(runId: string, targets: Iterable<DispatchView>): string[];
}

/** @param from where the reading began, bytes */
export function createTally(from = 0): Tally {
  const ends = new Map<string, number>();
  return {
    part({ agentId, offset, data }) {
      ends.set(agentId, Math.max(ends.get(agentId) ?? from, Number(offset) + data.length));
    },
    missing(runId, targets) {
      return [...targets].flatMap(({ state, agentId, agent, outputBytes }) => {
        const came = ends.get(agentId) ?? from;
        if (isOpen(state) || came >= outputBytes) return [];
        const name = printable(agent);
        return [
          `output may be incomplete: ${formatCount(came)} of ${formatCount(outputBytes)} bytes of ${name} have come`,
          `→ later, for the rest: \`openline runs output ${runId} --target ${name} --from ${came}\``,
        ];
      });
    },
  };
}
