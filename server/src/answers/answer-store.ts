import type { Tx } from '../db/transaction.ts';
import type { NewAnswer } from './answer.ts';

/** Answers that are open at a time on one agent: beyond it a rule's is left out, and the next time it fires is another one. */
const MAX_OPEN_OF_AGENT = 20;

/**
 * Records what is to be done. A rule's answer is left out while its task ran within its cool-down, or too many of the agent's are open: rules
 * fire as often as they like. @returns how many were recorded
 */
export async function insertAnswers(tx: Tx, answers: readonly NewAnswer[], now: Date): Promise<number> {
  const { rowCount } = await tx.query({
    name: 'answers-insert',
    text: `
      insert into answers (id, kind, agent_id, watch, instance, spell, alert_id, task, parameters, cooldown_ms, choice, state, created_at)
      select n.*, case when n.task = '' then 'choosing' else 'due' end, $12
      from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::text[], $10::bigint[],
        $11::text[]) as n(id, kind, agent_id, watch, instance, spell, alert_id, task, parameters, cooldown_ms, choice)
      where n.kind <> 'rule' or (
        not exists (select 1 from answers a where a.agent_id = n.agent_id and a.watch = n.watch and a.instance = n.instance
          and a.task = n.task and a.state <> 'skipped' and a.created_at > $12 - make_interval(secs => n.cooldown_ms / 1000.0))
        and (select count(*) from answers a where a.agent_id = n.agent_id and a.ended_at is null) < ${MAX_OPEN_OF_AGENT})`,
    values: [
      answers.map((a) => a.id),
      answers.map((a) => a.kind),
      answers.map((a) => a.agentId),
      answers.map((a) => a.watch),
      answers.map((a) => a.instance),
      answers.map((a) => a.spell),
      answers.map((a) => a.alertId ?? null),
      answers.map((a) => a.run?.task ?? ''),
      answers.map((a) => a.run?.parametersJson ?? ''),
      answers.map((a) => a.run?.cooldownMs ?? 0),
      answers.map((a) => (a.choice === undefined ? '' : JSON.stringify(a.choice))),
      now,
    ],
  });
  return rowCount ?? 0;
}
