import { type Colors, type DashboardSpec, ENDS, of, quantile, rate } from './builder.ts';

const STAGES = [
  ['submit_sent', 'submitted → sent'],
  ['sent_accepted', 'sent → accepted'],
  ['accepted_started', 'accepted → started'],
  ['ended_durable', 'result arrived → committed'],
] as const;
const OPEN: Colors = { queued: 'yellow', sent: 'orange', accepted: 'blue', running: 'green' };
const BAD = 'state=~"failed|timed_out|expired|rejected|lost"';

/** For whoever runs tasks: do they start at once, how do they end, what is in the way. */
export const dispatch: DashboardSpec = {
  uid: 'openline-dispatch',
  title: 'Openline / Dispatch',
  description: 'Runs and their dispatches: how many, how they end, how long each stage takes, what they write.',
  seenIn: 'openline_(agent_)?build_info',
  sections: [
    {
      title: 'Now',
      panels: [
        {
          kind: 'stat',
          title: 'Runs',
          description: 'Runs that were committed, per second.',
          unit: 'ops',
          width: 4,
          base: 'text',
          query: { expr: `sum(${rate('openline_runs_total')})`, legend: 'runs' },
        },
        {
          kind: 'stat',
          title: 'Dispatches that end',
          description: 'A dispatch is one run on one agent; per second.',
          unit: 'ops',
          width: 4,
          base: 'text',
          query: { expr: `sum(${rate('openline_dispatches_total')})`, legend: 'dispatches' },
        },
        {
          kind: 'stat',
          title: 'In flight',
          description: 'Dispatches that have not ended.',
          unit: 'short',
          width: 4,
          base: 'text',
          query: { expr: `sum(max by (state) (${of('openline_dispatches_open')}))`, legend: 'open' },
        },
        {
          kind: 'stat',
          title: 'Ended badly, 1 h',
          description:
            'Of all that ended: failed, timed out, expired, rejected or lost. A task that exits non-zero has failed.',
          unit: 'percentunit',
          width: 4,
          min: 0,
          max: 1,
          decimals: 1,
          thresholds: [
            { from: 0.05, color: 'yellow' },
            { from: 0.2, color: 'red' },
          ],
          query: { expr: share(BAD, '1h'), legend: 'bad' },
        },
        {
          kind: 'stat',
          title: 'Lost in a day',
          description:
            'Dispatches of which nobody can know whether they ran: the agent lost its journal, or never came back.',
          unit: 'short',
          width: 4,
          decimals: 0,
          thresholds: [{ from: 1, color: 'red' }],
          query: { expr: `sum(increase(${of('openline_dispatches_total', 'state="lost"')}[1d]))`, legend: 'lost' },
        },
        {
          kind: 'stat',
          title: 'Accepted within',
          description:
            'From sent to accepted, for 99 % of the last hour: the way to the agent, one sync of its journal, and back.',
          unit: 's',
          width: 4,
          thresholds: [
            { from: 0.25, color: 'yellow' },
            { from: 1, color: 'red' },
          ],
          query: {
            // Where there was no dispatch it is not a number, and Grafana would say so.
            expr: `histogram_quantile(0.99, sum by (le) (increase(${of('openline_dispatch_stage_seconds_bucket', 'stage="sent_accepted"')}[1h]))) >= 0`,
            legend: '99 %',
          },
        },
      ],
    },
    {
      title: 'How they end',
      panels: [
        {
          kind: 'graph',
          title: 'Ended, by state',
          description: 'Dispatches per second, by final state.',
          unit: 'ops',
          width: 12,
          stacked: true,
          colors: ENDS,
          queries: [{ expr: `sum by (state) (${rate('openline_dispatches_total')})`, legend: '{{state}}' }],
        },
        {
          kind: 'graph',
          title: 'Ended badly, by state',
          description: 'Of all that ended: the share of each state other than succeeded and cancelled.',
          unit: 'percentunit',
          width: 12,
          min: 0,
          colors: ENDS,
          queries: [
            {
              expr: `sum by (state) (${rate('openline_dispatches_total', BAD)}) / ignoring (state) group_left () clamp_min(sum(${rate('openline_dispatches_total')}), 1e-9)`,
              legend: '{{state}}',
            },
          ],
        },
        {
          kind: 'graph',
          title: 'In flight, by state',
          description:
            'Queued: the agent is away, its queue is full, or the rollout waits. Sent for long: the agent does not answer. All replicas, looked at every 15 s.',
          unit: 'short',
          width: 12,
          stacked: true,
          colors: OPEN,
          queries: [{ expr: `max by (state) (${of('openline_dispatches_open')})`, legend: '{{state}}' }],
        },
        {
          kind: 'graph',
          title: 'Runs that were submitted',
          description: 'Per second, and the dispatches that ended per run.',
          unit: 'ops',
          width: 12,
          queries: [
            { expr: `sum(${rate('openline_runs_total')})`, legend: 'runs' },
            { expr: `sum(${rate('openline_dispatches_total')})`, legend: 'dispatches' },
          ],
        },
      ],
    },
    {
      title: 'How long it takes',
      panels: [
        {
          kind: 'graph',
          title: 'Stages, median',
          description: 'Half of the dispatches were faster, in each stage.',
          unit: 's',
          width: 12,
          logarithmic: true,
          queries: STAGES.map(([stage, legend]) => ({
            expr: quantile(0.5, 'openline_dispatch_stage_seconds', { more: `stage="${stage}"` }),
            legend,
          })),
        },
        {
          kind: 'graph',
          title: 'Stages, 99 %',
          description: 'One in a hundred was slower. An agent that was away counts from submit to sent.',
          unit: 's',
          width: 12,
          logarithmic: true,
          queries: STAGES.map(([stage, legend]) => ({
            expr: quantile(0.99, 'openline_dispatch_stage_seconds', { more: `stage="${stage}"` }),
            legend,
          })),
        },
        {
          kind: 'heatmap',
          title: 'Sent to accepted',
          description:
            'How many dispatches took how long: two bands are two kinds of agents, one that widens is a server or disks at their limit.',
          unit: 's',
          width: 12,
          query: `sum by (le) (increase(${of('openline_dispatch_stage_seconds_bucket', 'stage="sent_accepted"')}[$__rate_interval]))`,
        },
        {
          kind: 'heatmap',
          title: 'Accepted to started',
          description: 'At the agent: a slot, its journal on disk, and the start of the process.',
          unit: 's',
          width: 12,
          query: `sum by (le) (increase(${of('openline_dispatch_stage_seconds_bucket', 'stage="accepted_started"')}[$__rate_interval]))`,
        },
      ],
    },
    {
      title: 'What they write',
      panels: [
        {
          kind: 'graph',
          title: 'Output',
          description:
            'Bytes of output that came in, and those beyond the limit of a dispatch, which are counted and not kept.',
          unit: 'Bps',
          width: 8,
          queries: [
            { expr: `sum(${rate('openline_output_bytes_total')})`, legend: 'received' },
            { expr: `sum(${rate('openline_output_dropped_bytes_total')})`, legend: 'beyond the limit' },
          ],
        },
        {
          kind: 'graph',
          title: 'Output to be sent again',
          description:
            'Times that the server held as much output as it may, and asked an agent to send its own again. Nothing is lost; the database is slow.',
          unit: 'ops',
          width: 8,
          thresholds: [{ from: 1, color: 'orange' }],
          queries: [{ expr: `sum(${rate('openline_output_refused_total')})`, legend: 'asked again' }],
        },
        {
          kind: 'graph',
          title: 'Commits of results and output',
          description: 'How long one took that 99 % are faster than. A result waits for one.',
          unit: 's',
          width: 8,
          queries: [
            {
              expr: quantile(0.99, 'openline_commit_flush_seconds', { by: 'batch', more: 'batch=~"reports|output"' }),
              legend: '{{batch}}',
            },
          ],
        },
      ],
    },
    {
      title: 'At the agents (where they are scraped)',
      panels: [
        {
          kind: 'graph',
          title: 'Tasks',
          description: 'That run, and that were accepted and wait for a slot (`tasks.concurrency`), on all agents.',
          unit: 'short',
          width: 8,
          queries: [
            { expr: `sum(${of('openline_agent_tasks_running')})`, legend: 'running' },
            { expr: `sum(${of('openline_agent_tasks_queued')})`, legend: 'waiting' },
            { expr: `max(${of('openline_agent_tasks_queued')})`, legend: 'waiting at one agent' },
          ],
        },
        {
          kind: 'graph',
          title: 'Ended at the agents',
          description: 'As agents count them: what never reached one is not in it.',
          unit: 'ops',
          width: 8,
          stacked: true,
          colors: ENDS,
          queries: [{ expr: `sum by (state) (${rate('openline_agent_tasks_total')})`, legend: '{{state}}' }],
        },
        {
          kind: 'graph',
          title: 'Sync of the journal',
          description: 'Each start of a task waits for one. What a disk takes shows here first.',
          unit: 's',
          width: 8,
          queries: [
            { expr: quantile(0.5, 'openline_agent_journal_sync_seconds'), legend: 'median' },
            { expr: quantile(0.99, 'openline_agent_journal_sync_seconds'), legend: '99 %' },
          ],
        },
        {
          kind: 'graph',
          title: 'Output that waits at the agents',
          description: 'On their disks until the server has committed it.',
          unit: 'bytes',
          width: 12,
          queries: [{ expr: `sum(${of('openline_agent_output_owed_bytes')})`, legend: 'output' }],
        },
        {
          kind: 'graph',
          title: 'Results that wait at the agents',
          description:
            'Ended, and not yet confirmed as committed. Some always are: they are confirmed with the next heartbeat.',
          unit: 'short',
          width: 12,
          queries: [{ expr: `sum(${of('openline_agent_results_owed')})`, legend: 'results' }],
        },
      ],
    },
  ],
};

function share(selector: string, range: string): string {
  return `sum(increase(${of('openline_dispatches_total', selector)}[${range}])) / clamp_min(sum(increase(${of('openline_dispatches_total')}[${range}])), 1e-9)`;
}
