import { type Colors, type DashboardSpec, ENDS, of, quantile, rate } from './builder.ts';

const HEALTH: Colors = {
  healthy: 'green',
  warning: 'yellow',
  critical: 'red',
  unreachable: 'purple',
  maintenance: 'blue',
  unknown: 'text',
};
const SEVERITIES: Colors = { critical: 'red', warning: 'yellow', information: 'blue' };

/** For whoever answers for the machines: who is there, are they well, what do they see. */
export const fleet: DashboardSpec = {
  uid: 'openline-fleet',
  title: 'Openline / Fleet',
  description: 'Who is connected, whether the machines are well, which versions and packs they have, what they see.',
  seenIn: 'openline_(agent_)?build_info',
  sections: [
    {
      title: 'Now',
      panels: [
        {
          kind: 'stat',
          title: 'Server',
          description:
            'Whether nothing keeps it from its work; the worst of the replicas. Not ready also where nothing is scraped.',
          unit: 'short',
          width: 6,
          height: 3,
          base: 'red',
          thresholds: [{ from: 1, color: 'green' }],
          words: { '0': { text: 'not ready', color: 'red' }, '1': { text: 'ready', color: 'green' } },
          query: { expr: `min(${of('openline_ready')}) or vector(0)`, legend: 'ready' },
        },
        {
          kind: 'stat',
          title: 'Connected',
          description: 'Agents whose line is open and ready, on all replicas.',
          unit: 'short',
          width: 6,
          height: 3,
          base: 'red',
          thresholds: [{ from: 1, color: 'green' }],
          query: { expr: `sum(${of('openline_agents_connected')})`, legend: 'connected' },
        },
        {
          kind: 'stat',
          title: 'Not connected',
          description: 'Agents that are enrolled and not revoked, and have no line now.',
          unit: 'short',
          width: 6,
          height: 3,
          min: 0,
          thresholds: [{ from: 1, color: 'orange' }],
          query: {
            expr: `clamp_min(max(${of('openline_agents_known')}) - sum(${of('openline_agents_connected')}), 0)`,
            legend: 'not connected',
          },
        },
        {
          kind: 'stat',
          title: 'Lacking a pack',
          description:
            'Connected agents that lack, or refused, the wanted pack that most of them lack. Runs of its tasks wait, or are rejected there.',
          unit: 'short',
          width: 6,
          height: 3,
          thresholds: [{ from: 1, color: 'orange' }],
          query: {
            expr: `max(sum by (pack) (max by (pack, state) (${of('openline_pack_agents', 'state!="ready"')})))`,
            legend: 'lacking',
          },
        },
        {
          kind: 'stat',
          title: 'Ill',
          description: 'Agents that are critical, or whose line is lost; those in maintenance are not counted.',
          unit: 'short',
          width: 6,
          height: 3,
          thresholds: [{ from: 1, color: 'red' }],
          query: {
            expr: `sum(max by (state) (${of('openline_agents_by_health', 'state=~"critical|unreachable"')}))`,
            legend: 'ill',
          },
        },
        {
          kind: 'stat',
          title: 'In warning',
          description: 'Agents of which some monitor or rule warns, and none says that it is critical.',
          unit: 'short',
          width: 6,
          height: 3,
          thresholds: [{ from: 1, color: 'yellow' }],
          query: {
            expr: `sum(max by (state) (${of('openline_agents_by_health', 'state="warning"')}))`,
            legend: 'in warning',
          },
        },
        {
          kind: 'stat',
          title: 'Critical alerts',
          description: 'Alerts of severity critical that are open, whether somebody has taken them or not.',
          unit: 'short',
          width: 6,
          height: 3,
          thresholds: [{ from: 1, color: 'red' }],
          query: {
            expr: `sum(max by (state) (${of('openline_alerts_open', 'severity="critical"')}))`,
            legend: 'critical',
          },
        },
        {
          kind: 'stat',
          title: 'Alerts nobody has taken',
          description: 'Open alerts of any severity that are new: nobody has acknowledged them.',
          unit: 'short',
          width: 6,
          height: 3,
          thresholds: [{ from: 1, color: 'yellow' }],
          query: { expr: `sum(max by (severity) (${of('openline_alerts_open', 'state="new"')}))`, legend: 'new' },
        },
      ],
    },
    {
      title: 'Lines',
      panels: [
        {
          kind: 'graph',
          title: 'Agents',
          description: 'Connected, of those that are enrolled. The gap is who is away.',
          unit: 'short',
          width: 12,
          colors: { connected: 'green', enrolled: 'blue' },
          queries: [
            { expr: `sum(${of('openline_agents_connected')})`, legend: 'connected' },
            { expr: `max(${of('openline_agents_known')})`, legend: 'enrolled' },
          ],
        },
        {
          kind: 'graph',
          title: 'Sessions that ended',
          description:
            'By reason. ENDED_BY_AGENT: the stream broke or the process died; GOODBYE: it was stopped; AGENT_SILENT: no heartbeat came, often a network.',
          unit: 'ops',
          width: 12,
          stacked: true,
          queries: [{ expr: `sum by (reason) (${rate('openline_sessions_ended_total')})`, legend: '{{reason}}' }],
        },
        {
          kind: 'graph',
          title: 'Handshakes',
          description:
            'TLS handshakes on the agent port. Failed: a certificate that is not of this authority, or no TLS at all.',
          unit: 'ops',
          width: 8,
          stacked: true,
          colors: { ok: 'green', failed: 'red', abandoned: 'orange' },
          queries: [{ expr: `sum by (outcome) (${rate('openline_handshakes_total')})`, legend: '{{outcome}}' }],
        },
        {
          kind: 'graph',
          title: 'Refused at Hello',
          description: 'Links that the server did not take, by reason; docs/errors.md says what to do about each.',
          unit: 'ops',
          width: 8,
          stacked: true,
          queries: [{ expr: `sum by (reason) (${rate('openline_hello_rejected_total')})`, legend: '{{reason}}' }],
        },
        {
          kind: 'graph',
          title: 'Enrolments',
          description:
            'New identities and renewed certificates, by kind and outcome (ok, or the code of what was refused).',
          unit: 'ops',
          width: 8,
          stacked: true,
          queries: [
            { expr: `sum by (kind, outcome) (${rate('openline_enrollments_total')})`, legend: '{{kind}}: {{outcome}}' },
          ],
        },
      ],
    },
    {
      title: 'Health, versions, packs',
      panels: [
        {
          kind: 'graph',
          title: 'Health',
          description: 'Agents by health. Unreachable: their line is lost. Those in maintenance are counted apart.',
          unit: 'short',
          width: 12,
          stacked: true,
          colors: HEALTH,
          queries: [{ expr: `max by (state) (${of('openline_agents_by_health')})`, legend: '{{state}}' }],
        },
        {
          kind: 'graph',
          title: 'Lost lines, by diagnosis',
          description:
            'Alerts of lines that broke, by what was found when the node was looked at: its agent, the node, the network, or nothing.',
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: `sum by (diagnosis) (increase(${of('openline_line_alerts_total')}[$__rate_interval]))`,
              legend: '{{diagnosis}}',
            },
          ],
        },
        {
          kind: 'bars',
          title: 'Versions',
          description: 'Agents by the version that they had when they were last connected.',
          unit: 'short',
          width: 12,
          min: 0,
          base: 'blue',
          query: { expr: `max by (version) (${of('openline_agents_by_version')})`, legend: '{{version}}' },
        },
        {
          kind: 'bars',
          title: 'Packs',
          description:
            'Connected agents by wanted pack and whether they hold it, lack it, or refused it (a signature they do not trust, a content that is not valid).',
          unit: 'short',
          width: 12,
          min: 0,
          base: 'orange',
          colors: { '/: ready$/': 'green' },
          query: { expr: `max by (pack, state) (${of('openline_pack_agents')}) > 0`, legend: '{{pack}}: {{state}}' },
        },
      ],
    },
    {
      title: 'Alerts and events',
      panels: [
        {
          kind: 'graph',
          title: 'Open alerts',
          description: 'By severity; those that were acknowledged are open, too.',
          unit: 'short',
          width: 8,
          stacked: true,
          colors: SEVERITIES,
          queries: [
            {
              expr: `sum by (severity) (max by (severity, state) (${of('openline_alerts_open')}))`,
              legend: '{{severity}}',
            },
          ],
        },
        {
          kind: 'graph',
          title: 'Alerts that were raised',
          description: 'By kind: of a rule, a monitor, or a line. An alert that repeats is not raised again.',
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: `sum by (kind) (increase(${of('openline_alerts_raised_total')}[$__rate_interval]))`,
              legend: '{{kind}}',
            },
          ],
        },
        {
          kind: 'graph',
          title: 'From event to alert',
          description:
            'From the moment in which a rule fired or a monitor changed, by the agent’s clock, to the commit of the alert.',
          unit: 's',
          width: 8,
          queries: [
            { expr: quantile(0.5, 'openline_event_alert_seconds'), legend: 'median' },
            { expr: quantile(0.99, 'openline_event_alert_seconds'), legend: '99 %' },
          ],
        },
        {
          kind: 'graph',
          title: 'What rules and monitors found',
          description: 'Records of agents that were taken in, each once, by kind.',
          unit: 'ops',
          width: 8,
          queries: [{ expr: `sum by (kind) (${rate('openline_event_records_total')})`, legend: '{{kind}}' }],
        },
        {
          kind: 'graph',
          title: 'Events that nobody has seen',
          description:
            'Skipped in a flood, overwritten in their log before they were read, dropped from a spool that was full. Each gap is shown by `openline events`.',
          unit: 'short',
          width: 8,
          thresholds: [{ from: 1, color: 'orange' }],
          queries: [
            { expr: `sum(increase(${of('openline_event_gap_events_total')}[$__rate_interval]))`, legend: 'events' },
            {
              expr: `sum(increase(${of('openline_event_batches_unread_total')}[$__rate_interval]))`,
              legend: 'batches to be sent again',
            },
          ],
        },
        {
          kind: 'graph',
          title: 'Answers',
          description: 'Tasks that rules and monitors asked for: diagnostics and recoveries, by how they ended.',
          unit: 'short',
          width: 8,
          colors: ENDS,
          queries: [
            {
              expr: `sum by (outcome) (increase(${of('openline_answers_total')}[$__rate_interval]))`,
              legend: '{{outcome}}',
            },
          ],
        },
        {
          kind: 'graph',
          title: 'Counted by packs',
          description: 'What rules of packs count, as their `metric` names it.',
          unit: 'ops',
          width: 24,
          queries: [{ expr: `sum by (metric) (${rate('openline_pack_events_total')})`, legend: '{{metric}}' }],
        },
      ],
    },
    {
      title: 'Agents, as they see themselves (where they are scraped)',
      panels: [
        {
          kind: 'graph',
          title: 'Links',
          description:
            'Agents that Prometheus scrapes, by state of their link. One that is not ready and answers is alive, and cut off.',
          unit: 'short',
          width: 8,
          stacked: true,
          colors: { ready: 'green', rising: 'yellow', waiting: 'orange', idle: 'red', stopped: 'blue' },
          queries: [{ expr: `sum by (state) (${of('openline_agent_link_state')})`, legend: '{{state}}' }],
        },
        {
          kind: 'graph',
          title: 'Links that failed',
          description: 'Streams that broke, or never became a session, by reason.',
          unit: 'ops',
          width: 8,
          queries: [{ expr: `sum by (reason) (${rate('openline_agent_link_failures_total')})`, legend: '{{reason}}' }],
        },
        {
          kind: 'graph',
          title: 'Heartbeat',
          description: 'From a heartbeat to the server’s answer: network, and how busy both ends are.',
          unit: 's',
          width: 8,
          queries: [
            { expr: quantile(0.5, 'openline_agent_heartbeat_seconds'), legend: 'median' },
            { expr: quantile(0.99, 'openline_agent_heartbeat_seconds'), legend: '99 %' },
          ],
        },
        {
          kind: 'graph',
          title: 'Memory of an agent',
          description:
            'Resident memory of the agent processes. An idle one takes some 60 MiB, one in a flood of events twice that.',
          unit: 'bytes',
          width: 8,
          queries: [
            { expr: `quantile(0.5, ${agentProcess('process_resident_memory_bytes')})`, legend: 'median' },
            { expr: `max(${agentProcess('process_resident_memory_bytes')})`, legend: 'largest' },
          ],
        },
        {
          kind: 'graph',
          title: 'Processor of an agent',
          description: 'Of one processor. Rules may take half of one while events flow (`events.cpuShare`).',
          unit: 'percentunit',
          width: 8,
          queries: [
            { expr: `quantile(0.5, ${agentProcess('process_cpu_seconds_total', true)})`, legend: 'median' },
            { expr: `max(${agentProcess('process_cpu_seconds_total', true)})`, legend: 'busiest' },
          ],
        },
        {
          kind: 'graph',
          title: 'Event loop of agents',
          description: 'The worst delay of the last 15 s, of the agent that has it worst.',
          unit: 's',
          width: 8,
          queries: [{ expr: `max(${of('openline_agent_event_loop_lag_seconds')})`, legend: 'worst' }],
        },
        {
          kind: 'graph',
          title: 'Events read',
          description: 'Events that agents read from their logs, and those that no rule will ever see.',
          unit: 'ops',
          width: 8,
          queries: [
            { expr: `sum(${rate('openline_agent_events_read_total')})`, legend: 'read' },
            { expr: `sum(${rate('openline_agent_events_missed_total')})`, legend: 'missed' },
          ],
        },
        {
          kind: 'graph',
          title: 'Waiting for the server',
          description:
            'What agents keep on disk until the server has confirmed it. It grows while the line is away, and shrinks after.',
          unit: 'short',
          width: 8,
          queries: [
            { expr: `sum(${of('openline_agent_event_spool_records')})`, legend: 'event records' },
            { expr: `sum(${of('openline_agent_results_owed')})`, legend: 'results' },
          ],
        },
        {
          kind: 'graph',
          title: 'Self-check',
          description:
            'How long ago the agent that is worst off last proved that its executor (journal on disk) and its rules work. Above 30 s something hangs, mostly a disk.',
          unit: 's',
          width: 8,
          thresholds: [{ from: 30, color: 'orange' }],
          queries: [{ expr: `max by (part) (${of('openline_agent_self_check_age_seconds')})`, legend: '{{part}}' }],
        },
        {
          kind: 'graph',
          title: 'Rules and monitors',
          description: 'That hold on the agents, all added up.',
          unit: 'short',
          width: 8,
          queries: [{ expr: `sum by (kind) (${of('openline_agent_watches')})`, legend: '{{kind}}s' }],
        },
        {
          kind: 'graph',
          title: 'Spool of events',
          description:
            'On disk of the agents: all of them, and the largest. At `events.spoolLimit` (64 MiB) the oldest goes.',
          unit: 'bytes',
          width: 8,
          queries: [
            { expr: `sum(${of('openline_agent_event_spool_bytes')})`, legend: 'all' },
            { expr: `max(${of('openline_agent_event_spool_bytes')})`, legend: 'largest' },
          ],
        },
        {
          kind: 'stat',
          title: 'Agents with a fault',
          description:
            'Something keeps their executor or their rules from the work: a disk, a log that cannot be read. `openline agents show` says what.',
          unit: 'short',
          width: 4,
          height: 8,
          thresholds: [{ from: 1, color: 'red' }],
          query: { expr: `sum(${of('openline_agent_faulty')})`, legend: 'with a fault' },
        },
        {
          kind: 'stat',
          title: 'Certificate ends in',
          description:
            'The first of all to end. They are renewed at half of their life: an hour on Kubernetes, a day on machines.',
          unit: 's',
          width: 4,
          height: 8,
          base: 'red',
          thresholds: [
            { from: 600, color: 'orange' },
            { from: 1200, color: 'green' },
          ],
          query: { expr: `min(${of('openline_agent_certificate_expiry_seconds')})`, legend: 'expires in' },
        },
      ],
    },
  ],
};

/** Of processes that are agents: every process has a metric of this name. */
function agentProcess(metric: string, asRate = false): string {
  const value = asRate ? rate(metric) : of(metric);
  return `${value} and on (instance, job) ${of('openline_agent_build_info')}`;
}
