import type { Verdict } from './diagnosis.ts';
import type { Cover, Line, Loss } from './line.ts';

/** What is kept over a restart of the server; the rest is found out anew. */
export interface SavedLine {
  readonly agentId: string;
  readonly loss: Loss;
  /** undefined: it was stopped, and is within its time. */
  readonly cover: Cover | undefined;
  readonly verdict: Verdict;
}

/** What is kept of a line; undefined: nothing. */
export function savedOf({ agent, state }: Pick<Line, 'agent' | 'state'>): SavedLine | undefined {
  if (state.kind === 'down') return { agentId: agent.id, loss: state.loss, cover: state.cover, verdict: state.verdict };
  if (state.kind === 'up' || state.loss.ended !== 'stopped') return undefined;
  return { agentId: agent.id, loss: state.loss, cover: undefined, verdict: 'stopped' };
}
