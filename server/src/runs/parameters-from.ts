import { coerceSome } from '@openline/packs';
import { type ErrorCode, OpenlineError } from '@openline/proto/errors';
import { type Properties, textsFor } from '@openline/proto/properties';
import type { AgentService } from '../agents/agents.ts';
import type { ResolvedTask } from '../packs/pack-service.ts';
import type { AgentLines } from './lines.ts';
import type { RunSpec } from './run-service.ts';
import type { ParametersFrom } from './wire.ts';

/** How a dispatch ends whose agent would run it without what it is to put in itself. */
export const OUTDATED = {
  state: 'rejected',
  reasonCode: 'AGENT_OUTDATED',
  reason: 'this version of the agent puts no labels, facts or names into parameters',
} as const;

const UNFIT = { code: OUTDATED.reasonCode, reason: OUTDATED.reason };

export interface Foreseen {
  /** By the name of the parameter. */
  readonly texts: ParametersFrom;
  /** Why the agent would reject it. */
  readonly unfit?: { readonly code: ErrorCode; readonly reason: string };
}

/**
 * What agents would put in, by agent, and what they would say of that: each does the same. Empty where the parameters are the same everywhere.
 * @param known the parameters beside those, checked
 */
export async function foresee(
  { agents, lines }: { readonly agents: Pick<AgentService, 'select'>; readonly lines: Pick<AgentLines, 'fillsIn'> },
  resolved: ResolvedTask,
  { targets, parametersFrom }: RunSpec,
  known: Readonly<Record<string, unknown>>,
): Promise<ReadonlyMap<string, Foreseen>> {
  if (parametersFrom === undefined) return new Map();
  return new Map(
    (await agents.select(targets)).map((agent) => {
      const foreseen = foreseeOne(resolved, parametersFrom, known, agent);
      return [agent.id, lines.fillsIn(agent.id) ? foreseen : { ...foreseen, unfit: UNFIT }];
    }),
  );
}

function foreseeOne(
  { task, validate }: ResolvedTask,
  parametersFrom: ParametersFrom,
  known: Readonly<Record<string, unknown>>,
  target: Properties,
): Foreseen {
  const found = textsFor(parametersFrom, target);
  if ('code' in found) return { texts: {}, unfit: found };
  try {
    validate(coerceSome(task, { ...known, ...found.texts }, Object.keys(found.texts)));
    return found;
  } catch (error) {
    if (!(error instanceof OpenlineError)) throw error;
    return { ...found, unfit: { code: error.code, reason: error.message } };
  }
}
