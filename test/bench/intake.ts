// What the server takes in, beside agents that speak the protocol and have no rules. Every figure is of records that are durable, with their alerts.
import { processesNaming, type TestServer } from '../harness/index.ts';
import type { Child } from './child.ts';
import type { EventAnswer, EventOrder } from './event-fleet.ts';
import { cpuMs } from './process-usage.ts';
import { say } from './say.ts';
import { quantile, significant } from './statistics.ts';

export type EventFleet = Child<EventOrder, EventAnswer>;

type Order<K extends EventOrder['kind']> = Omit<Extract<EventOrder, { kind: K }>, 'kind'>;

export function intakeOf({ process, dir }: TestServer, fleet: EventFleet, bareEchoPerS: number) {
  const postgres = () => processesNaming(dir).filter((pid) => pid !== process.pid && pid !== fleet.pid);
  const cpu = () => ({
    server: cpuMs(process.pid),
    agents: cpuMs(fleet.pid),
    postgres: postgres().reduce((sum, pid) => sum + cpuMs(pid), 0),
  });

  return {
    /** As fast as they are taken; until the last is acknowledged. Who uses the processor: µs for each record. */
    async burst(what: string, order: Order<'burst'>) {
      const before = cpu();
      const answer = await fleet.ask({ kind: 'burst', ...order });
      if (answer.kind !== 'burst') throw new Error('another answer');
      const after = cpu();
      const total = order.agents * order.records;
      const each = (who: keyof typeof after) => significant(((after[who] - before[who]) * 1000) / total);
      const perS = (total * 1000) / answer.ms;
      const us = { server: each('server'), postgres: each('postgres'), agents: each('agents') };
      say(
        `${what}: ${Math.round(perS)} records/s (µs per record: server ${us.server}, PostgreSQL ${us.postgres}, agents ${us.agents})`,
      );
      return { per_s: significant(perS), ratio: significant(perS / bareEchoPerS), cpu_us_per_record: us };
    },

    /** At a rate that is far from the limit, from saying a record to its acknowledgement. */
    async steady(what: string, order: Order<'steady'>) {
      const answer = await fleet.ask({ kind: 'steady', ...order });
      if (answer.kind !== 'steady') throw new Error('another answer');
      const [p50, p99] = [quantile(answer.ackMs, 0.5), quantile(answer.ackMs, 0.99)];
      say(
        `${what}: durable p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms; flood ${Math.round(answer.floodPerS)} records/s`,
      );
      return {
        durable_p50_ms: significant(p50),
        durable_p99_ms: significant(p99),
        flood_per_s: significant(answer.floodPerS),
      };
    },
  };
}
