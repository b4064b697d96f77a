import { type Evidence, type Peers, verdictOf } from './diagnosis.ts';
import { explaining, type GroupCount } from './groups.ts';
import {
  ALL,
  type Cover,
  countsInGroups,
  decidedAtMs,
  type GroupRef,
  isRemoved,
  type Line,
  type LineAgent,
  type LineState,
  type Loss,
  missedAtMs,
} from './line.ts';
import { type Outage, Outages } from './outages.ts';
import { type SavedLine, savedOf } from './saved-line.ts';

export interface LinesPolicy {
  /** Beyond one heartbeat, how long a missed line waits for others of its groups. */
  readonly settleMs: number;
  /** After a start, a stall or an outage of the store: how long agents have to come back before anything counts. */
  readonly graceMs: number;
}

export interface Now {
  /** Monotonic. */
  readonly ms: number;
  readonly unixMs: number;
}

type Held = { -readonly [K in keyof Line]: Line[K] };

/** A tick that comes so late was held up: this process, or its machine, stood still, and heard nobody. */
const STALL_MS = 10_000;

/**
 * The lines of all agents, and which alert tells of which lost one. Deterministic: no I/O, no clock. The service tells it what happens, and makes
 * true what it wants. What it wants is a state and not a command, so that what could not be stored at once is stored as it is by then:
 * `changedLines`, `changedOutages` and `anew` name what to look at, and the service empties them.
 */
export class Lines {
  readonly changedLines = new Set<string>();
  readonly changedOutages = new Set<string>();
  /** Agents whose alert has to end, though they may be lost still: what was said of them is looked at as if it were new. */
  readonly anew = new Set<string>();
  readonly #policy: LinesPolicy;
  readonly #lines = new Map<string, Held>();
  readonly #members = new Map<string, Set<Held>>();
  readonly #outages = new Outages();
  /** Those that are not up: all that a tick looks at. */
  readonly #lost = new Set<Held>();
  #version = 0;
  #holdUntilMs = Number.NEGATIVE_INFINITY;
  #tickedMs: number | undefined;

  constructor(policy: LinesPolicy) {
    this.#policy = policy;
  }

  /** Rises with every change. */
  get version(): number {
    return this.#version;
  }
  get(agentId: string): Line | undefined {
    return this.#lines.get(agentId);
  }
  all(): Iterable<Line> {
    return this.#lines.values();
  }
  outage(key: string): Outage | undefined {
    return this.#outages.get(key);
  }
  /** How many agents the group has. */
  sizeOf(key: string): number {
    return this.#members.get(key)?.size ?? 0;
  }
  outages(): Iterable<Outage> {
    return this.#outages.all();
  }

  /** At the start: an agent that was connected at some time. */
  load(
    agent: LineAgent,
    about: { seenUnixMs: number; maintained: boolean },
    saved: SavedLine | undefined,
    now: Now,
  ): void {
    const line = this.#add(agent);
    const { seenUnixMs, maintained } = about;
    line.maintained = maintained;
    if (saved === undefined) {
      const loss: Loss = { ended: 'unseen', why: '', sinceUnixMs: seenUnixMs };
      this.#become(line, { kind: 'away', loss, heardMs: now.ms });
    } else if (saved.cover === undefined) {
      const stoppedForMs = Math.max(0, now.unixMs - saved.loss.sinceUnixMs);
      this.#become(line, { kind: 'away', loss: saved.loss, heardMs: now.ms - stoppedForMs });
    } else {
      const { loss, cover, verdict } = saved;
      const key = cover.kind === 'outage' ? cover.key : undefined;
      const group = agent.groups.find((each) => each.key === key);
      if (group !== undefined) this.#outages.list(group, [agent.id], loss.sinceUnixMs, now.ms);
      this.#become(line, { kind: 'down', loss, cover, verdict, evidence: undefined });
    }
    this.changedLines.delete(agent.id);
    // Its group is none any more.
    if (
      saved?.cover?.kind === 'outage' &&
      line.state.kind === 'down' &&
      this.#outages.get(saved.cover.key) === undefined
    )
      this.#reconsider(line, now.ms);
    // Its maintenance ended while no server was there.
    if (!maintained && saved?.cover?.kind === 'own' && saved.cover.suppressed) this.#reconsider(line, now.ms);
  }

  /** Nothing that is missing counts for a while: agents need time to come back. */
  hold(nowMs: number): void {
    this.#holdUntilMs = Math.max(this.#holdUntilMs, nowMs + this.#policy.graceMs);
  }

  /** Its line is there; it may be the first that is heard of the agent. */
  opened(agent: LineAgent): void {
    const line = this.#lines.get(agent.id) ?? this.#add(agent);
    this.#regroup(line, agent);
    this.#become(line, { kind: 'up' });
  }

  /** @param heardMs when it was last heard, on the monotonic clock */
  ended(agentId: string, loss: Loss, heardMs: number): void {
    const line = this.#lines.get(agentId);
    if (line?.state.kind === 'up') this.#become(line, { kind: 'away', loss, heardMs });
  }

  /** Revoked or deleted: no line is expected any more. */
  gone(agentId: string): void {
    const line = this.#lines.get(agentId);
    if (line === undefined) return;
    this.#become(line, { kind: 'up' });
    for (const { key } of line.agent.groups) this.#members.get(key)?.delete(line);
    this.#lines.delete(agentId);
    this.changedLines.add(agentId);
  }

  /** Its groups or its heartbeat policy are others now. */
  changed(agent: LineAgent, nowMs: number): void {
    const line = this.#lines.get(agent.id);
    if (line === undefined) return;
    const { alert } = line.agent.heartbeat;
    this.#regroup(line, agent);
    if (line.state.kind !== 'down') return;
    if (alert !== agent.heartbeat.alert) this.#reconsider(line, nowMs);
    else this.changedLines.add(agent.id);
  }

  maintain(agentId: string, maintained: boolean, nowMs: number): void {
    const line = this.#lines.get(agentId);
    if (line === undefined || line.maintained === maintained) return;
    line.maintained = maintained;
    this.#version++;
    const { state } = line;
    // Nobody was told of it. What is lost still is looked at as if it were lost now: a rack makes one alert.
    if (!maintained && state.kind === 'down' && state.cover.kind === 'own' && state.cover.suppressed)
      this.#reconsider(line, nowMs);
  }

  found(agentId: string, evidence: Evidence): void {
    const line = this.#lines.get(agentId);
    if (line?.state.kind === 'missed') line.state = { ...line.state, evidence };
    if (line?.state.kind !== 'down') return;
    const verdict = verdictOf(line.state.loss.ended, evidence, this.#peersOf(line));
    if (verdict === line.state.verdict) return;
    this.#become(line, { ...line.state, evidence, verdict });
    // Whose node is removed while it is lost: nobody need be told any more.
    if (isRemoved(line.state) && line.state.cover.kind === 'own') this.#cover(line, { kind: 'none' });
  }

  /** Its alert was raised, and is suppressed or not: a maintenance may have begun or ended just before. */
  raised(agentId: string, suppressed: boolean, nowMs: number): void {
    const line = this.#lines.get(agentId);
    if (line?.state.kind !== 'down' || line.state.cover.kind !== 'own' || line.state.cover.suppressed === suppressed)
      return;
    this.#become(line, { ...line.state, cover: { kind: 'own', suppressed } });
    if (suppressed && !line.maintained) this.#reconsider(line, nowMs);
  }

  /** @returns agents whose loss is to be looked into */
  tick(nowMs: number): string[] {
    if (this.#tickedMs !== undefined && nowMs - this.#tickedMs > STALL_MS) this.hold(nowMs);
    this.#tickedMs = nowMs;
    if (nowMs < this.#holdUntilMs) return [];
    const missed: string[] = [];
    const due: Held[] = [];
    for (const line of this.#lost) {
      const { agent, state } = line;
      if (state.kind === 'away' && missedAtMs(agent, state.loss, state.heardMs) <= nowMs) {
        this.#become(line, { kind: 'missed', loss: state.loss, missedMs: nowMs, evidence: undefined });
        missed.push(agent.id);
      } else if (state.kind === 'missed' && decidedAtMs(agent, state.missedMs, this.#policy.settleMs) <= nowMs)
        due.push(line);
    }
    this.#decide(due, nowMs);
    for (const id of this.#outages.dissolve(nowMs, this.#policy.graceMs)) {
      const line = this.#lines.get(id);
      if (line?.state.kind === 'down') this.#cover(line, this.#ownCover(line));
    }
    return missed;
  }

  #decide(due: readonly Held[], nowMs: number): void {
    // Counted once, before anything is decided: the order does not matter.
    const counts = new Map<string, GroupCount>();
    const countOf = (key: string): GroupCount => {
      const count = counts.get(key) ?? this.#count(key, nowMs);
      counts.set(key, count);
      return count;
    };
    for (const line of due) {
      // Another one of this round has taken it into its outage.
      if (line.state.kind !== 'missed') continue;
      const group = countsInGroups(line) ? explaining(line.agent, countOf) : undefined;
      if (group === undefined) this.#cover(line, this.#ownCover(line));
      else this.#coverGroup(group, nowMs);
    }
  }

  #ownCover(line: Line): Cover {
    const { agent, state, maintained } = line;
    return agent.heartbeat.alert && !isRemoved(state) ? { kind: 'own', suppressed: maintained } : { kind: 'none' };
  }

  #coverGroup(group: GroupRef, nowMs: number): void {
    const lost = [...(this.#members.get(group.key) ?? [])].filter(isMissed);
    const since = lost.flatMap(({ state }) => (state.kind === 'missed' ? [state.loss.sinceUnixMs] : []));
    const ids = lost.map(({ agent }) => agent.id);
    this.#outages.list(group, ids, Math.min(...since), nowMs);
    for (const line of lost) this.#cover(line, { kind: 'outage', key: group.key });
  }

  #cover(line: Held, cover: Cover): void {
    const { state } = line;
    if (state.kind !== 'missed' && state.kind !== 'down') return;
    const peers = cover.kind === 'outage' ? 'lost' : this.#peersOf(line);
    const verdict = verdictOf(state.loss.ended, state.evidence, peers);
    this.#become(line, { kind: 'down', loss: state.loss, evidence: state.evidence, cover, verdict });
  }

  #reconsider(line: Held, nowMs: number): void {
    if (line.state.kind !== 'down') return;
    const { loss, evidence, cover } = line.state;
    if (cover.kind === 'own') this.anew.add(line.agent.id);
    this.#become(line, { kind: 'missed', loss, evidence, missedMs: nowMs });
  }

  #count(key: string, nowMs: number): GroupCount {
    let missed = 0;
    let base = 0;
    for (const line of this.#members.get(key) ?? []) {
      if (!countsInGroups(line) || line.state.kind === 'down') continue;
      base++;
      if (line.state.kind === 'missed') missed++;
    }
    return { missed, base, listed: this.#outages.listed(key, nowMs) };
  }

  #peersOf(line: Held): Peers {
    let peers: Peers = 'none';
    for (const { key } of line.agent.groups) {
      if (key === ALL) continue;
      for (const other of this.#members.get(key) ?? []) {
        if (other === line || other.maintained) continue;
        if (other.state.kind === 'up') return 'up';
        peers = 'lost';
      }
    }
    return peers;
  }

  #add(agent: LineAgent): Held {
    const line: Held = { agent: { ...agent, groups: [] }, state: { kind: 'up' }, maintained: false };
    this.#lines.set(agent.id, line);
    this.#regroup(line, agent);
    return line;
  }

  #regroup(line: Held, agent: LineAgent): void {
    for (const { key } of line.agent.groups) this.#members.get(key)?.delete(line);
    for (const { key } of agent.groups) {
      const members = this.#members.get(key) ?? new Set();
      this.#members.set(key, members.add(line));
    }
    line.agent = agent;
  }

  /** The one place where a state changes: keeps the indexes, and notes what is to be stored. */
  #become(line: Held, next: LineState): void {
    const before = line.state;
    line.state = next;
    this.#version++;
    if (next.kind === 'up') this.#lost.delete(line);
    else this.#lost.add(line);
    const left = before.kind === 'down' && before.cover.kind === 'outage' ? before.cover.key : undefined;
    const joined = next.kind === 'down' && next.cover.kind === 'outage' ? next.cover.key : undefined;
    if (left !== undefined && left !== joined) this.#outages.back(left, line.agent.id);
    for (const key of [left, joined]) if (key !== undefined) this.changedOutages.add(key);
    const { agent } = line;
    if (savedOf({ agent, state: before }) || savedOf({ agent, state: next })) this.changedLines.add(agent.id);
  }
}

function isMissed(line: Line): boolean {
  return line.state.kind === 'missed' && countsInGroups(line);
}
