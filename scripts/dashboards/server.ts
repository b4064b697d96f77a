import { type DashboardSpec, of, quantile, rate } from './builder.ts';

/** For whoever runs the servers: are they well, what is at its limit. Lines are per instance where replicas differ. */
export const server: DashboardSpec = {
  uid: 'openline-server',
  title: 'Openline / Server',
  description:
    'The processes of the management servers: event loop, memory, database, links, operators, notifications, certificates.',
  seenIn: 'openline_build_info',
  sections: [
    {
      title: 'Now',
      panels: [
        {
          kind: 'stat',
          title: 'Ready',
          description:
            'Whether nothing keeps the server from its work; /readyz says what does. The worst of the replicas. Not ready also where nothing is scraped.',
          unit: 'short',
          width: 4,
          base: 'red',
          thresholds: [{ from: 1, color: 'green' }],
          words: { '0': { text: 'not ready', color: 'red' }, '1': { text: 'ready', color: 'green' } },
          query: { expr: `min(${of('openline_ready')}) or vector(0)`, legend: 'ready' },
        },
        {
          kind: 'stat',
          title: 'Database',
          description:
            'Whether the database is believed to answer. While it does not, nothing is acknowledged, and nothing is lost.',
          unit: 'short',
          width: 4,
          base: 'red',
          thresholds: [{ from: 1, color: 'green' }],
          words: { '0': { text: 'away', color: 'red' }, '1': { text: 'answers', color: 'green' } },
          query: { expr: `min(${of('openline_database_up')})`, legend: 'database' },
        },
        {
          kind: 'stat',
          title: 'Event loop, 99 %',
          description: 'Delay of the event loop over the last 15 s, of the replica that has it worst.',
          unit: 's',
          width: 4,
          thresholds: [
            { from: 0.1, color: 'yellow' },
            { from: 0.5, color: 'red' },
          ],
          query: { expr: `max(${of('openline_event_loop_lag_seconds', 'percentile="99"')})`, legend: 'lag' },
        },
        {
          kind: 'stat',
          title: 'Authority ends in',
          description: 'The certificate of the authority: when it ends, no agent can connect.',
          unit: 's',
          width: 4,
          base: 'red',
          thresholds: [
            { from: 2_592_000, color: 'orange' },
            { from: 7_776_000, color: 'green' },
          ],
          query: { expr: `min(${of('openline_certificate_expiry_seconds', 'certificate="ca"')})`, legend: 'ca' },
        },
        {
          kind: 'stat',
          title: 'Certificate ends in',
          description: 'Of the server. It is renewed by the server itself, well before.',
          unit: 's',
          width: 4,
          base: 'red',
          thresholds: [
            { from: 86_400, color: 'orange' },
            { from: 259_200, color: 'green' },
          ],
          query: {
            expr: `min(${of('openline_certificate_expiry_seconds', 'certificate="server"')})`,
            legend: 'server',
          },
        },
        {
          kind: 'stat',
          title: 'Up for',
          description: 'Since the youngest of the server processes started.',
          unit: 's',
          width: 4,
          base: 'text',
          query: { expr: `min(time() - ${serverProcess('process_start_time_seconds')})`, legend: 'up for' },
        },
      ],
    },
    {
      title: 'Process',
      panels: [
        {
          kind: 'graph',
          title: 'Event loop',
          description:
            'Delay over the last 15 s: median, 99 % and the worst, of the replica that has it worst. Heartbeats, tasks and operators all wait for it.',
          unit: 's',
          width: 8,
          thresholds: [{ from: 0.5, color: 'red' }],
          queries: [
            { expr: `max by (percentile) (${of('openline_event_loop_lag_seconds')})`, legend: '{{percentile}} %' },
          ],
        },
        {
          kind: 'graph',
          title: 'Processor',
          description:
            'Of one processor. JavaScript uses one; TLS, garbage collection and files use threads beside it.',
          unit: 'percentunit',
          width: 8,
          queries: [{ expr: `${serverProcess('process_cpu_seconds_total', true)}`, legend: '{{instance}}' }],
        },
        {
          kind: 'graph',
          title: 'Memory',
          description:
            'Resident memory of the process, and what of it is JavaScript’s heap. The embedded PostgreSQL is not in it.',
          unit: 'bytes',
          width: 8,
          queries: [
            { expr: serverProcess('process_resident_memory_bytes'), legend: '{{instance}} resident' },
            { expr: of('nodejs_heap_size_used_bytes'), legend: '{{instance}} heap' },
          ],
        },
        {
          kind: 'graph',
          title: 'Garbage collection',
          description: 'Share of the time, by kind. Much of the kind major means that the heap is near its limit.',
          unit: 'percentunit',
          width: 12,
          queries: [{ expr: `sum by (kind) (${rate('nodejs_gc_duration_seconds_sum')})`, legend: '{{kind}}' }],
        },
        {
          kind: 'graph',
          title: 'Open files',
          description: 'File descriptors, about one per agent, and how many there may be: then new agents are refused.',
          unit: 'short',
          width: 12,
          logarithmic: true,
          queries: [
            { expr: of('process_open_fds'), legend: '{{instance}} open' },
            { expr: of('process_max_fds'), legend: '{{instance}} most' },
          ],
        },
      ],
    },
    {
      title: 'Database',
      panels: [
        {
          kind: 'graph',
          title: 'Connections',
          description:
            'Of the pool: open, idle, and requests that wait for one. Some that wait for long: the database is slow, or its connections are too few.',
          unit: 'short',
          width: 8,
          queries: [{ expr: `sum by (state) (${of('openline_database_connections')})`, legend: '{{state}}' }],
        },
        {
          kind: 'graph',
          title: 'Group commits, 99 %',
          description: 'How long one took, by what is committed. Results, output and events wait for one.',
          unit: 's',
          width: 8,
          queries: [{ expr: quantile(0.99, 'openline_commit_flush_seconds', { by: 'batch' }), legend: '{{batch}}' }],
        },
        {
          kind: 'graph',
          title: 'Items per commit',
          description: 'Under load they grow, and that is how it keeps up.',
          unit: 'short',
          width: 8,
          queries: [
            {
              expr: `sum by (batch) (${rate('openline_commit_batch_items_sum')}) / clamp_min(sum by (batch) (${rate('openline_commit_batch_items_count')}), 1e-9)`,
              legend: '{{batch}}',
            },
          ],
        },
        {
          kind: 'graph',
          title: 'Database answers',
          description:
            'Believed to answer (1) or not (0), per replica; and how often the embedded one was lost and brought back.',
          unit: 'short',
          width: 12,
          queries: [
            { expr: of('openline_database_up'), legend: '{{instance}} answers' },
            { expr: `increase(${of('openline_database_lost_total')}[$__rate_interval])`, legend: '{{instance}} lost' },
          ],
        },
        {
          kind: 'graph',
          title: 'Events, from arrival to commit',
          description: 'From the arrival of a batch of events to the commit of its last record.',
          unit: 's',
          width: 12,
          queries: [
            { expr: quantile(0.5, 'openline_event_durable_seconds'), legend: 'median' },
            { expr: quantile(0.99, 'openline_event_durable_seconds'), legend: '99 %' },
          ],
        },
      ],
    },
    {
      title: 'Links',
      panels: [
        {
          kind: 'graph',
          title: 'Connected agents',
          description: 'Per replica.',
          unit: 'short',
          width: 8,
          stacked: true,
          queries: [{ expr: of('openline_agents_connected'), legend: '{{instance}}' }],
        },
        {
          kind: 'graph',
          title: 'Messages',
          description: 'The ten kinds that are most, by direction. When nothing happens: heartbeats and their answers.',
          unit: 'ops',
          width: 8,
          queries: [
            {
              expr: `topk(10, sum by (direction, kind) (${rate('openline_frames_total')}))`,
              legend: '{{direction}} {{kind}}',
            },
          ],
        },
        {
          kind: 'graph',
          title: 'Bytes',
          description: 'Of the messages on the links, without TLS and HTTP/2.',
          unit: 'Bps',
          width: 8,
          queries: [{ expr: `sum by (direction) (${rate('openline_frame_bytes_total')})`, legend: '{{direction}}' }],
        },
        {
          kind: 'graph',
          title: 'Writes that had to queue',
          description: 'To agents that read slower than they are written to; none at all is what a quiet fleet shows.',
          unit: 'ops',
          width: 8,
          queries: [{ expr: `sum(${rate('openline_stream_queue_bytes_count')})`, legend: 'writes' }],
        },
        {
          kind: 'graph',
          title: 'Handshakes and sessions',
          description:
            'TLS handshakes by outcome, and sessions that became ready. After a server’s restart all agents come back: over a minute, not at once.',
          unit: 'ops',
          width: 8,
          queries: [
            { expr: `sum by (outcome) (${rate('openline_handshakes_total')})`, legend: 'handshakes {{outcome}}' },
            { expr: `sum(${rate('openline_sessions_opened_total')})`, legend: 'sessions' },
            { expr: `sum(${rate('openline_sessions_superseded_total')})`, legend: 'superseded' },
          ],
        },
        {
          kind: 'graph',
          title: 'Refused',
          description: 'Links at Hello and certificates, by reason (docs/errors.md).',
          unit: 'ops',
          width: 8,
          queries: [
            { expr: `sum by (reason) (${rate('openline_hello_rejected_total')})`, legend: '{{reason}}' },
            {
              expr: `sum by (outcome) (${rate('openline_enrollments_total', 'outcome!="ok"')})`,
              legend: 'enrolment: {{outcome}}',
            },
          ],
        },
      ],
    },
    {
      title: 'Operators',
      panels: [
        {
          kind: 'graph',
          title: 'Requests',
          description: 'On the operators’ port, by method.',
          unit: 'ops',
          width: 8,
          queries: [{ expr: `sum by (method) (${rate('openline_operator_requests_total')})`, legend: '{{method}}' }],
        },
        {
          kind: 'graph',
          title: 'Requests by code',
          description:
            'OK, or the gRPC code of the refusal. UNAUTHENTICATED and PERMISSION_DENIED that do not end: a token that expired, or somebody who tries.',
          unit: 'ops',
          width: 8,
          queries: [{ expr: `sum by (code) (${rate('openline_operator_requests_total')})`, legend: '{{code}}' }],
        },
        {
          kind: 'graph',
          title: 'Time of a request, 99 %',
          description: 'From its arrival to its last answer, by method. Watches are not in it.',
          unit: 's',
          width: 8,
          queries: [
            { expr: quantile(0.99, 'openline_operator_request_seconds', { by: 'method' }), legend: '{{method}}' },
          ],
        },
      ],
    },
    {
      title: 'Notifications',
      panels: [
        {
          kind: 'graph',
          title: 'Delivered and not',
          description:
            'By outcome. Dead: given up. Uncertain: nobody knows whether it arrived. Both wait for a person.',
          unit: 'short',
          width: 8,
          stacked: true,
          colors: {
            sent: 'green',
            retried: 'yellow',
            uncertain: 'orange',
            dead: 'red',
            skipped: 'text',
            cancelled: 'blue',
          },
          queries: [
            {
              expr: `sum by (outcome) (increase(${of('openline_notifications_total')}[$__rate_interval]))`,
              legend: '{{outcome}}',
            },
          ],
        },
        {
          kind: 'graph',
          title: 'Time to deliver, 99 %',
          description: 'From the moment it was due until the other side had taken it, by kind of channel.',
          unit: 's',
          width: 8,
          logarithmic: true,
          queries: [
            {
              expr: quantile(0.99, 'openline_notification_delay_seconds', { by: 'channel_kind' }),
              legend: '{{channel_kind}}',
            },
          ],
        },
        {
          kind: 'graph',
          title: 'Waiting',
          description:
            'Due and not delivered, and those that were given up: `openline notifications list --state dead`.',
          unit: 'short',
          width: 4,
          queries: [
            { expr: `max(${of('openline_notifications_pending')})`, legend: 'due' },
            { expr: `max(${of('openline_notifications_dead')})`, legend: 'dead' },
          ],
        },
        {
          kind: 'stat',
          title: 'Oldest that waits',
          description: 'How long the oldest of the notifications that are due has been waiting.',
          unit: 's',
          width: 4,
          height: 8,
          thresholds: [
            { from: 60, color: 'yellow' },
            { from: 600, color: 'red' },
          ],
          query: { expr: `max(${of('openline_notifications_oldest_pending_seconds')})`, legend: 'oldest' },
        },
      ],
    },
  ],
};

/** Of processes that are servers: every process has a metric of this name. */
function serverProcess(metric: string, asRate = false): string {
  return `${asRate ? rate(metric) : of(metric)} and on (instance, job) ${of('openline_build_info')}`;
}
