/**
 * Every reason and error code that crosses a process. The code is the API; the message is not.
 * `means` and `doNext` are what docs/errors.md says of it (a test compares them). A retired code is never used again.
 */
export const ERRORS = {
  // Why a dispatch ended as it did.
  TASK_EXIT_CODE: {
    means: 'The task ended with an exit code that it does not name as success.',
    doNext: 'Read its output: `openline runs output RUN`.',
  },
  TASK_SIGNALLED: {
    means: 'A signal that Openline did not send ended the task.',
    doNext: 'Look for the OOM killer or another program that stopped it.',
  },
  TASK_TIMED_OUT: {
    means: 'The task ran longer than its timeout; its whole process group was stopped.',
    doNext: 'Raise `--timeout`, or find out what it waits for.',
  },
  TASK_CANCELLED: { means: 'An operator cancelled it.', doNext: 'Nothing; `openline runs retry` runs it again.' },
  TTL_EXPIRED: {
    means: 'It did not start within the time to live of its run.',
    doNext: 'Bring the agent back and `openline runs retry`, or raise `--ttl`.',
  },
  AGENT_OFFLINE: {
    means: 'The agent was not connected, and the run asked not to wait.',
    doNext: 'Use `--offline wait`, or see `openline agents show`.',
  },
  AGENT_UNREACHABLE: {
    means: 'The agent took the task and did not come back; nobody can know how it ended.',
    doNext: 'Look at the node. If the agent returns, its result replaces this.',
  },
  AGENT_RESTARTED: {
    means: 'The agent died while the task ran. The task is never run again by itself.',
    doNext: 'Check what the task left half-done, then `openline runs retry`.',
  },
  AGENT_STOPPED: {
    means: 'The agent was stopped while the task ran, and stopped the task with it.',
    doNext: 'Check what the task left half-done, then `openline runs retry`.',
  },
  RESULT_FORGOTTEN: {
    means:
      'The task ended earlier and the server committed its result, then asked for it again; the agent has forgotten it.',
    doNext: 'Look at the node. It happens when the server’s database was restored from a backup.',
  },
  JOURNAL_REPLACED: {
    means: 'The agent came back with a new journal, so nobody can know what the old one started.',
    doNext: 'Find out why the journal is gone, then `openline runs retry`.',
  },
  AGENT_REVOKED: {
    means: 'The identity of the agent was revoked.',
    doNext: 'Enrol it again with a new join token if it should come back.',
  },
  QUEUE_FULL: {
    means: 'The agent runs as many tasks as it may, and its queue is full.',
    doNext: 'Retry later, or raise `tasks.queueLimit` in the agent’s configuration.',
  },
  PACK_NOT_HELD: {
    means: 'The agent does not hold this version of the pack, and could not get it in time.',
    doNext: 'See `openline agents show` for the reason.',
  },
  TASK_UNKNOWN: { means: 'The pack has no task of that name.', doNext: '`openline packs show PACK` lists its tasks.' },
  TASK_DENIED: {
    means: 'The local configuration of the agent forbids this task.',
    doNext: 'Change `tasks.allow` on that machine, if it should run there.',
  },
  REQUIREMENTS_NOT_MET: {
    means:
      'The target lacks a label, fact or interpreter that the task requires, or that a parameter of the run is to be.',
    doNext: 'Choose other targets, or install what is missing.',
  },
  AGENT_OUTDATED: {
    means: 'The agent is of a version that cannot do what the run asks of it.',
    doNext: 'Upgrade the agent, then `openline runs retry`.',
  },
  AGENT_IN_MAINTENANCE: {
    means: 'The agent is in maintenance, and the task does not run then.',
    doNext: 'Retry when it is over: `openline maintenance list` shows the end.',
  },
  PARAMETERS_INVALID: {
    means: 'The parameters do not fit the schema of the task.',
    doNext: 'Correct the parameter that the message names; `openline packs show PACK/TASK` shows the schema.',
  },
  ARGUMENT_TOO_LONG: {
    means: 'A parameter is longer than the operating system lets a program receive in this way.',
    doNext: 'Shorten it, or let the task read it from its parameter file.',
  },
  SPAWN_FAILED: {
    means: 'The process could not be started.',
    doNext: 'The message carries the operating system’s reason.',
  },
  EVENT_LOG_FAILED: {
    means: 'The agent could not write its event log.',
    doNext: 'Free disk space at the agent’s data directory.',
  },
  JOURNAL_FAILED: {
    means: 'The agent could not write its journal, so it did not take the task.',
    doNext: 'Free disk space at the agent’s data directory.',
  },
  // What the link refuses.
  PROTOCOL_UNSUPPORTED: {
    means: 'Agent and server share no protocol version.',
    doNext: 'Upgrade the older of the two.',
  },
  PROTOCOL_VIOLATION: {
    means: 'The peer sent something that the protocol does not allow there.',
    doNext: 'Upgrade it; if it is current, report this with the log line.',
  },
  MESSAGE_TOO_LARGE: { means: 'A message was larger than the limit of the link.', doNext: 'See docs/limits.md.' },
  CERTIFICATE_MISSING: {
    means: 'The agent connected without a client certificate that this server’s CA signed.',
    doNext: 'Enrol it: `openline agent --join-token …`.',
  },
  CERTIFICATE_EXPIRED: {
    means: 'The agent’s certificate has expired.',
    doNext: 'Enrol it again with a new join token; check its clock.',
  },
  IDENTITY_UNKNOWN: {
    means: 'The certificate names an agent that this server does not know.',
    doNext: 'Enrol it again with a new join token.',
  },
  IDENTITY_IN_USE: {
    means: 'Another machine or process is connected with this identity.',
    doNext: 'Enrol the copy with a join token of its own.',
  },
  SESSION_SUPERSEDED: { means: 'A newer session of the same agent took over.', doNext: 'Nothing.' },
  AGENT_TOO_SLOW: { means: 'The agent did not read what it was sent.', doNext: 'Look at the load of the node.' },
  AGENT_SILENT: {
    means: 'No heartbeat came within the tolerated time.',
    doNext: 'Look at the node and at the network between.',
  },
  SERVER_BUSY: {
    means: 'The server has no room for this right now.',
    doNext: 'Retry after the time given; agents do so by themselves.',
  },
  SERVER_STOPPING: {
    means: 'The server is being stopped.',
    doNext: 'Ask again in a moment; what it had accepted goes on after its restart.',
  },
  SERVER_UNREACHABLE: {
    means: 'No management server answered.',
    doNext: 'Check the address, the port and the network.',
  },
  SERVER_UNTRUSTED: {
    means: 'The server’s certificate is not from the CA that is expected.',
    doNext:
      'Check the address and the CA hash; do not go on if you cannot explain it. When the CA was replaced while an agent was away, start it with a new join token and its `--ca-hash`; an operator takes the new one from `openline ca bundle`.',
  },
  JOIN_TOKEN_INVALID: {
    means: 'The join token is unknown, used, expired or revoked.',
    doNext: 'Make a new one: `openline tokens create --join`.',
  },
  NODE_NOT_ATTESTED: {
    means: 'The service-account token of the pod does not prove a node whose agents this server takes.',
    doNext:
      'The message says what is wrong with it. Compare the audience and the service account of the DaemonSet with `kubernetesAudience` and `kubernetesAgents` (or `remoteClusters`) of the server.',
  },
  CLUSTER_UNREACHABLE: {
    means: 'The API of the cluster, or the keys of its issuer, could not be asked about a token.',
    doNext: 'Look at the API server and at the rights of the server’s service account; agents try again by themselves.',
  },
  NAME_TAKEN: {
    means: 'Another agent has that name.',
    doNext: 'Give this one another name (`--name`), or revoke the old one.',
  },
  // What the operator API refuses.
  UNAUTHENTICATED: {
    means: 'No token, or one that is unknown, expired or revoked.',
    doNext: 'Set `OPENLINE_TOKEN`, or choose a context that has one.',
  },
  PERMISSION_DENIED: {
    means: 'The role of the token does not allow this.',
    doNext: 'Use a token with the role that the message names.',
  },
  REQUEST_INVALID: { means: 'The request does not make sense.', doNext: 'Correct what the message names.' },
  TARGETS_INVALID: {
    means: 'The target expression cannot be read.',
    doNext: 'Correct it at the position shown; see docs/cli.md, Targets.',
  },
  NO_TARGETS: {
    means: 'No agent matches the targets.',
    doNext: '`openline agents list` shows names and labels. One agent by its name is `--agent NAME`, or `name=NAME`.',
  },
  RUN_UNKNOWN: { means: 'There is no such run.', doNext: '`openline runs list` shows the runs.' },
  AGENT_UNKNOWN: { means: 'There is no such agent.', doNext: '`openline agents list` shows the agents.' },
  AGENT_CONNECTED: { means: 'The agent is connected, so it cannot be deleted.', doNext: 'Stop it, or revoke it.' },
  ALERT_UNKNOWN: {
    means: 'There is no such alert (any more: closed alerts are groomed).',
    doNext: '`openline alerts` shows the open ones, `openline alerts --state all` also those that were closed.',
  },
  PACK_UNKNOWN: {
    means: 'There is no such pack, or no such version of it.',
    doNext: '`openline packs list` shows the packs.',
  },
  TOKEN_UNKNOWN: { means: 'There is no such token.', doNext: '`openline tokens list` shows the tokens.' },
  IDEMPOTENCY_CONFLICT: {
    means: 'The idempotency key was used before, for another request.',
    doNext: 'Use a new key.',
  },
  PACK_INVALID: { means: 'The pack cannot be read.', doNext: 'Correct the line and column shown.' },
  PACK_READER_FAILED: {
    means:
      'The agent could not read the pack for a reason of its machine, such as too many open files or no memory; nothing is said of the pack.',
    doNext: 'The message carries the reason: mend that on its machine. It tries again by itself.',
  },
  PACK_SIGNATURE_INVALID: {
    means: 'The signature does not belong to these bytes.',
    doNext: 'Sign it again: `openline packs sign`.',
  },
  PACK_KEY_UNTRUSTED: {
    means: 'The pack is signed with a key that is not trusted here.',
    doNext: 'Sign it with a trusted key, or add the public key to the trusted ones.',
  },
  PACK_DOWNGRADE: { means: 'A newer version of the pack is in place.', doNext: 'Raise the version of the pack.' },
  PACK_CONTENT_CHANGED: {
    means: 'This version is in place with other content; a version never changes.',
    doNext: 'Raise the version of the pack.',
  },
  PACK_IN_USE: { means: 'Open dispatches need the pack.', doNext: 'Wait for the runs to end, or cancel them.' },
  DECLARED_INVALID: {
    means: 'What was given to `openline apply` cannot be read, or does not fit together; nothing was stored.',
    doNext: 'Correct what is shown; `--dry-run` checks without storing.',
  },
  DECLARED_UNKNOWN: {
    means: 'There is no declared object of that name, or no such kind.',
    doNext: '`openline get KIND` lists them.',
  },
  DECLARED_IN_USE: {
    means: 'Another declared object needs it.',
    doNext: 'Change or delete the objects that the message names first.',
  },
  WATCH_UNKNOWN: {
    means: 'No pack has such a rule or monitor.',
    doNext: '`openline rules` and `openline monitors --available` list them.',
  },
  MAINTENANCE_UNKNOWN: {
    means: 'There is no such maintenance; ended ones are groomed after a while.',
    doNext: '`openline maintenance list --ended` shows them.',
  },
  NOTIFICATION_UNKNOWN: {
    means: 'There is no such notification; ended ones are groomed after a while.',
    doNext: '`openline notifications list` shows them.',
  },
  NOTIFICATION_NOT_DEAD: {
    means: 'Only a notification that was given up, or whose end nobody knows, can be sent again.',
    doNext: 'See its state: `openline notifications show ID`.',
  },
  STORE_UNAVAILABLE: {
    means: 'The database does not answer, or has no room.',
    doNext:
      'See the server’s log, and repeat the request when the database is back; a run with the same `--idempotency-key`.',
  },
  INTERNAL: {
    means: 'A fault of Openline itself.',
    doNext: 'Report it with the log line that has the same request id.',
  },
  // What stops a process at its start.
  CONFIG_INVALID: {
    means: 'A configuration key is unknown, missing or has a wrong value.',
    doNext: 'Correct the key that the message names.',
  },
  DATA_DIR_IN_USE: {
    means: 'Another process uses the data directory.',
    doNext: 'Stop it, or choose another `--data-dir`.',
  },
  DATA_DIR_UNUSABLE: {
    means: 'The data directory cannot be created, read or written.',
    doNext: 'The message carries the operating system’s reason.',
  },
  STATE_UNAVAILABLE: {
    means:
      'What the server keeps of its own (certificate authority, pack key, admin token) cannot be read or written, in its data directory or in the Secret that `stateSecret` names.',
    doNext:
      'The message carries the reason. The service account of the server must be allowed to get, patch and create that one Secret.',
  },
  PORT_IN_USE: { means: 'Another program listens on the port.', doNext: 'Stop it, or choose another port.' },
  DATABASE_FAILED: {
    means:
      'The embedded PostgreSQL could not be started, or went away while the server started, or the given one cannot be used.',
    doNext: 'The message carries its reason: mend that, and start the server again.',
  },
} as const satisfies Record<string, { means: string; doNext: string }>;

export type ErrorCode = keyof typeof ERRORS;

export function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}

/** An error that a person or a peer is meant to read. `message` says what happened, to what; ERRORS says what to do next. */
export class OpenlineError extends Error {
  override readonly name = 'OpenlineError';
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The trailing metadata in which the operator API and the link name the code of a refusal; the status carries the message. */
export const ERROR_CODE_METADATA = 'openline-error-code';
