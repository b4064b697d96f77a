import type { GroupRef } from './line.ts';

/** A group that was lost, and the one alert that tells of it. */
export interface Outage {
  readonly group: GroupRef;
  /** Ids of those that are still away. */
  readonly members: ReadonlySet<string>;
  /** Most that were away at a time. */
  readonly lost: number;
  readonly sinceUnixMs: number;
}

interface Held extends Outage {
  readonly members: Set<string>;
  lost: number;
  /** When the last one joined, on the monotonic clock. */
  grewMs: number;
  /** So few are left since then. */
  fewSinceMs: number | undefined;
}

/** What is lost later than this after the last one that was listed has a reason of its own, and must not go under in the alert of the others. */
const FOLLOWS_MS = 600_000;

/** The open outages. It stays open until the last member is back; the last few get alerts of their own after a while. */
export class Outages {
  readonly #open = new Map<string, Held>();

  get(key: string): Outage | undefined {
    return this.#open.get(key);
  }
  all(): Iterable<Outage> {
    return this.#open.values();
  }

  list(group: GroupRef, agentIds: readonly string[], sinceUnixMs: number, nowMs: number): void {
    const outage = this.#open.get(group.key) ?? {
      group,
      members: new Set<string>(),
      lost: 0,
      sinceUnixMs,
      grewMs: nowMs,
      fewSinceMs: undefined,
    };
    this.#open.set(group.key, outage);
    for (const id of agentIds) outage.members.add(id);
    outage.grewMs = nowMs;
    outage.lost = Math.max(outage.lost, outage.members.size);
  }

  /** How many are away in an outage of the group that others may follow into. */
  listed(key: string, nowMs: number): number {
    const outage = this.#open.get(key);
    return outage !== undefined && nowMs - outage.grewMs <= FOLLOWS_MS ? outage.members.size : 0;
  }

  back(key: string, agentId: string): void {
    const outage = this.#open.get(key);
    outage?.members.delete(agentId);
    if (outage?.members.size === 0) this.#open.delete(key);
  }

  /** Ends those of which only a few were left for `afterMs`. @returns the few */
  dissolve(nowMs: number, afterMs: number): string[] {
    const left: string[] = [];
    for (const [key, outage] of this.#open) {
      if (outage.members.size >= outage.group.rule.members) outage.fewSinceMs = undefined;
      else outage.fewSinceMs ??= nowMs;
      if (outage.fewSinceMs === undefined || nowMs - outage.fewSinceMs < afterMs) continue;
      this.#open.delete(key);
      left.push(...outage.members);
    }
    return left;
  }
}
