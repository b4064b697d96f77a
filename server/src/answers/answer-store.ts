import type { Query } from '../db/query.ts';
import type { Tx } from '../db/transaction.ts';
import { monitorStateOf } from '../events/event.ts';
import type { AnswerKind, AnswerState, Facts, NewAnswer, StoredAnswer } from './answer.ts';

/** The statements of answers. */

/** Answers that are open at a time on one agent: beyond it a rule's is left out, and the next time it fires is another one. */
const MAX_OPEN_OF_AGENT = 20;

/**
 * Records what is to be done. A rule's answer is left out while its task ran within its cool-down, or too many of the agent's are open: rules
 * fire as often as they like. The position of the agents' spools must be locked. @returns how many were recorded
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
          and a.task = n.task and a.state <> 'skipped' and a.created_at > $12::timestamptz - make_interval(secs => n.cooldown_ms / 1000.0))
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

/** Open answers that can go on: all but those whose run has not ended. The oldest first. */
export async function readReady(query: Query, limit: number): Promise<StoredAnswer[]> {
  const { rows } = await query<AnswerRow>({
    name: 'answers-ready',
    text: `select a.* from answers a left join runs r on r.id = a.run_id
      where a.ended_at is null and (a.state <> 'running' or r.id is null or r.ended_at is not null)
      order by a.created_at, a.id limit $1`,
    values: [limit],
  });
  return rows.map(toAnswer);
}

/**
 * The answer as it is now; its agent's position is locked, so that nothing else of the agent is decided until the end of the transaction.
 * @returns undefined when it is not in that state any more
 */
export async function lockAnswer(tx: Tx, { id, agentId, state }: StoredAnswer): Promise<StoredAnswer | undefined> {
  await tx.query({
    name: 'answers-lock-agent',
    text: 'select 1 from event_positions where agent_id = $1 for update',
    values: [agentId],
  });
  const { rows } = await tx.query<AnswerRow>({
    name: 'answers-lock',
    text: 'select * from answers where id = $1 and state = $2 for update',
    values: [id, state],
  });
  return rows[0] && toAnswer(rows[0]);
}

export async function readFacts(tx: Tx, answer: StoredAnswer, now: Date): Promise<Facts> {
  const [pack, monitor] = answer.watch.split('/', 2);
  const about = [answer.agentId, answer.watch, answer.instance];
  const states = await tx.query<{ state: number; spell: string }>({
    name: 'answers-monitor',
    text: 'select state, spell from monitor_states where agent_id = $1 and pack = $2 and monitor = $3 and instance = $4',
    values: [answer.agentId, pack, monitor, answer.instance],
  });
  const starts = await tx.query<{ task: string; last: Date; of_spell: number }>({
    name: 'answers-starts',
    text: `select task, max(started_at) as last, count(*) filter (where spell = $4) as of_spell
      from answers where agent_id = $1 and watch = $2 and instance = $3 and kind = $5 and started_at is not null group by task`,
    values: [...about, answer.spell, answer.kind],
  });
  const [row] = states.rows;
  return {
    now,
    monitor: row && { state: monitorStateOf(row.state), spell: row.spell },
    lastStarts: new Map(starts.rows.map(({ task, last }) => [task, last])),
    startsOfSpell: new Map(starts.rows.map(({ task, of_spell }) => [task, of_spell])),
  };
}

/** From `choosing` or `due` to `starting`. */
export async function markStarting(tx: Tx, id: string, run: NonNullable<NewAnswer['run']>, now: Date): Promise<void> {
  await tx.query({
    name: 'answers-starting',
    text: `update answers set state = 'starting', task = $2, parameters = $3, cooldown_ms = $4, started_at = $5 where id = $1`,
    values: [id, run.task, run.parametersJson, run.cooldownMs, now],
  });
}

export async function markRunning(tx: Tx, id: string, runId: string): Promise<void> {
  await tx.query({
    name: 'answers-running',
    text: `update answers set state = 'running', run_id = $2 where id = $1`,
    values: [id, runId],
  });
}

export async function markEnded(
  tx: Tx,
  id: string,
  state: Extract<AnswerState, 'ended' | 'skipped'>,
  outcome: string,
  now: Date,
): Promise<void> {
  await tx.query({
    name: 'answers-ended',
    text: 'update answers set state = $2, outcome = $3, ended_at = $4 where id = $1',
    values: [id, state, outcome, now],
  });
}

/** The run that an earlier attempt made with this key. */
export async function findRun(query: Query, principalId: string, key: string): Promise<string | undefined> {
  const { rows } = await query<{ id: string }>({
    name: 'answers-run',
    text: 'select id from runs where principal_id = $1 and idempotency_key = $2',
    values: [principalId, key],
  });
  return rows[0]?.id;
}

/** @returns how many were deleted */
export async function groomAnswers(query: Query, endedBefore: Date, limit: number): Promise<number> {
  const { rowCount } = await query({
    name: 'answers-groom',
    text: 'delete from answers where id in (select id from answers where ended_at < $1 order by ended_at limit $2)',
    values: [endedBefore, limit],
  });
  return rowCount ?? 0;
}

interface AnswerRow {
  id: string;
  kind: AnswerKind;
  agent_id: string;
  watch: string;
  instance: string;
  spell: string;
  alert_id: number | null;
  task: string;
  parameters: string;
  cooldown_ms: number;
  choice: string;
  state: AnswerState;
  run_id: string | null;
  created_at: Date;
}

function toAnswer(row: AnswerRow): StoredAnswer {
  return {
    id: row.id,
    kind: row.kind,
    agentId: row.agent_id,
    watch: row.watch,
    instance: row.instance,
    spell: row.spell,
    alertId: row.alert_id === null ? undefined : String(row.alert_id),
    run: row.task === '' ? undefined : { task: row.task, parametersJson: row.parameters, cooldownMs: row.cooldown_ms },
    choice: row.choice === '' ? undefined : JSON.parse(row.choice),
    state: row.state,
    runId: row.run_id ?? undefined,
    createdAt: row.created_at,
  };
}
