/** What a pack, and an override, may say of time and number. docs/limits.md. */
const HOUR_MS = 3600 * 1000;

export const THRESHOLD_COUNT = { min: 2, max: 1000 } as const;
export const WITHIN_MS = { min: 1000, max: 24 * HOUR_MS } as const;
export const EVERY_MS = { min: 1000, max: 24 * HOUR_MS } as const;
export const SAMPLES = { min: 1, max: 100 } as const;
export const RESET_MS = { min: 1000, max: 7 * 24 * HOUR_MS } as const;
export const TREND_MS = { min: 60_000, max: 30 * 24 * HOUR_MS } as const;
export const COOLDOWN_MS = { min: 0, max: 7 * 24 * HOUR_MS } as const;
export const TIMEOUT_MS = { min: 1000, max: 5 * 60_000 } as const;
