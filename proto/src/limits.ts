/** Limits of the link and the operator API that both ends must know. docs/limits.md lists them (a test compares). */

/** The protocol versions that this build speaks, inclusive. */
export const PROTOCOL_MIN = 1;
export const PROTOCOL_MAX = 1;

/** Largest message an agent may send up the link. */
export const MAX_AGENT_MESSAGE_BYTES = 256 * 1024;
/** Largest message the server sends down the link, and either way on the operator API. */
export const MAX_SERVER_MESSAGE_BYTES = 8 * 1024 * 1024;
/** Largest pack. */
export const MAX_PACK_BYTES = 1024 * 1024;
/** Largest file of declared objects. */
export const MAX_DECLARED_FILE_BYTES = 1024 * 1024;
/** Largest parameters object of a run, as JSON. */
export const MAX_PARAMETERS_BYTES = 4 * 1024 * 1024;
/** Largest chunk of output in one TaskOutput. */
export const MAX_OUTPUT_CHUNK_BYTES = 32 * 1024;
/** Output kept of one dispatch; the rest is counted and dropped. */
export const MAX_OUTPUT_BYTES = 8 * 1024 * 1024;
/** Targets of one run. */
export const MAX_TARGETS = 50_000;
/** Labels, and facts, of one agent: entries, and characters of a key and of a value. */
export const MAX_LABELS = 64;
export const MAX_FACTS = 256;
export const MAX_LABEL_CHARS = 253;
/** Longest time to live of a run; an agent remembers the ids of runs at least this long. */
export const MAX_TTL_MS = 7 * 24 * 3600 * 1000;
/** Records in one EventBatch, and batches of one agent that are not acknowledged. */
export const MAX_EVENT_RECORDS = 1_000;
export const MAX_EVENT_BATCHES_UNDER_WAY = 4;
/** Events behind one detection or state change, and kept behind one alert. */
export const MAX_EVENTS_BEHIND = 20;
/** Of an event: characters of its message, and of its data as JSON. */
export const MAX_EVENT_MESSAGE_CHARS = 4_096;
export const MAX_EVENT_DATA_CHARS = 8_192;
/** Characters of an alert's key (and of a monitor's instance), title and description. */
export const MAX_ALERT_KEY_CHARS = 256;
export const MAX_ALERT_TITLE_CHARS = 300;
export const MAX_ALERT_DESCRIPTION_CHARS = 4_096;

export const DEFAULT_AGENT_PORT = 5723;
export const DEFAULT_OPERATOR_PORT = 5724;
export const DEFAULT_METRICS_PORT = 9464;
