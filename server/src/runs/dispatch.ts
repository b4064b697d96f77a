/** The life of a dispatch. Numbers are stored; their order is the order of life. */
export const STATES = {
  queued: 0,
  sent: 1,
  accepted: 2,
  running: 3,
  succeeded: 10,
  failed: 11,
  timed_out: 12,
  cancelled: 13,
  expired: 14,
  rejected: 15,
  lost: 16,
} as const;
export type DispatchState = keyof typeof STATES;
