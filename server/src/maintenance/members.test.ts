import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Attributes } from '../agents/selector.ts';
import type { Maintenance } from './maintenance.ts';
import { Members } from './members.ts';

const T0 = Date.UTC(2027, 0, 1);
const at = (minute: number) => new Date(T0 + minute * 60_000);
const maintenance = (id: string, on: string, from: number, to: number): Maintenance => ({
  id,
  window: '',
  on,
  reason: '',
  startedBy: 'ada',
  createdAt: at(0),
  startsAt: at(from),
  endsAt: at(to),
  endedAt: undefined,
  endedBy: '',
});
const agent = (id: string, role: string): Attributes => ({ id, name: id, labels: { role }, facts: {} });

describe('who is in which maintenance, whatever begins, ends and changes, in whatever order', () => {
  const ids = ['a', 'b', 'c'];
  const roles = ['web', 'db'];
  const deed = fc.oneof(
    fc.record({
      do: fc.constant('start' as const),
      on: fc.constantFrom('all', 'role=web', 'role=db', 'name=a'),
      from: fc.integer({ min: 0, max: 20 }),
      lasts: fc.integer({ min: 1, max: 30 }),
    }),
    fc.record({ do: fc.constant('end' as const), which: fc.nat(5) }),
    fc.record({ do: fc.constant('hello' as const), id: fc.constantFrom(...ids), role: fc.constantFrom(...roles) }),
    fc.record({ do: fc.constant('pass' as const), minutes: fc.integer({ min: 1, max: 15 }) }),
  );

  it('each agent is in the one that ends last of those that select it and last; who came and who left is told once', () => {
    fc.assert(
      fc.property(fc.array(deed, { maxLength: 40 }), (deeds) => {
        const members = new Members();
        const agents = new Map(ids.map((id) => [id, agent(id, 'web')]));
        const told = new Set<string>();
        let open: Maintenance[] = [];
        let minute = 0;
        let count = 0;
        const selects = (on: string, { id, labels }: Attributes) =>
          on === 'all' || on === `name=${id}` || on === `role=${labels['role']}`;
        for (const each of deeds) {
          if (each.do === 'start') {
            const from = minute + each.from;
            open = [...open, maintenance(`m${count++}`, each.on, from, from + each.lasts)];
          } else if (each.do === 'end') open = open.filter((_, index) => index !== each.which);
          else if (each.do === 'pass') minute += each.minutes;
          else {
            const changed = agent(each.id, each.role);
            agents.set(each.id, changed);
            members.hello(changed);
          }
          for (const unknown of members.setOpen(open, at(minute))) {
            const selected = [...agents.values()].filter((one) => selects(unknown.on, one));
            members.setAgents(
              unknown,
              selected.map(({ id }) => id),
            );
          }
          const { entered, left } = members.settle();
          for (const id of entered) {
            expect(told.has(id)).toBe(false);
            told.add(id);
          }
          for (const id of left) expect(told.delete(id)).toBe(true);
          for (const one of agents.values()) {
            const lasting = open.filter(
              ({ on, startsAt, endsAt }) => startsAt <= at(minute) && endsAt > at(minute) && selects(on, one),
            );
            const last = Math.max(...lasting.map(({ endsAt }) => endsAt.getTime()));
            const of = members.of(one.id);
            expect(told.has(one.id)).toBe(lasting.length > 0);
            expect(open.find(({ id }) => id === of)?.endsAt.getTime()).toBe(lasting.length > 0 ? last : undefined);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
