import { type Attributes, parseSelector, type Selector, selects } from '../agents/selector.ts';
import { type Maintenance, type MaintenanceChange, phaseOf } from './maintenance.ts';

/** Who is in which maintenance now. In memory: it is asked for with each alert that is raised. */
export class Members {
  /** Of those that last. The set is who it selects, as far as is known. */
  readonly #active = new Map<string, { maintenance: Maintenance; selector: Selector; agents: Set<string> }>();
  #of = new Map<string, string>();

  of(agentId: string): string | undefined {
    return this.#of.get(agentId);
  }
  countOf(id: string): number {
    return this.#active.get(id)?.agents.size ?? 0;
  }
  agentsOf(id: string): ReadonlySet<string> {
    return this.#active.get(id)?.agents ?? new Set();
  }

  /** Those that last now, and those of them whose agents have to be asked of the database. */
  setOpen(open: readonly Maintenance[], now: Date): Maintenance[] {
    const lasting = new Map(open.filter((m) => phaseOf(m, now) === 'active').map((m) => [m.id, m]));
    for (const id of this.#active.keys()) if (!lasting.has(id)) this.#active.delete(id);
    const unknown: Maintenance[] = [];
    for (const maintenance of lasting.values()) {
      const known = this.#active.get(maintenance.id);
      if (known?.maintenance.on === maintenance.on) known.maintenance = maintenance;
      else unknown.push(maintenance);
    }
    return unknown;
  }

  setAgents(maintenance: Maintenance, agentIds: readonly string[]): void {
    const selector = parseSelector(maintenance.on);
    this.#active.set(maintenance.id, { maintenance, selector, agents: new Set(agentIds) });
  }

  hello(agent: Attributes): void {
    for (const { selector, agents } of this.#active.values()) {
      if (selects(selector, agent)) agents.add(agent.id);
      else agents.delete(agent.id);
    }
  }

  /** Works out anew who is in which. Of several it is the one that ends last. */
  settle(): MaintenanceChange {
    const before = this.#of;
    const now = new Map<string, string>();
    const byEnd = [...this.#active.values()].sort(
      (a, b) => a.maintenance.endsAt.getTime() - b.maintenance.endsAt.getTime(),
    );
    for (const { maintenance, agents } of byEnd) for (const agentId of agents) now.set(agentId, maintenance.id);
    this.#of = now;
    return {
      entered: [...now.keys()].filter((id) => !before.has(id)),
      left: [...before.keys()].filter((id) => !now.has(id)),
    };
  }
}
