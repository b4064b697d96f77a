import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanup, eventually } from '../harness/index.ts';
import { type Fleet, type Member, startFleet, states } from './fleet.ts';

let fleet: Fleet;
let near: Member;
beforeAll(async () => {
  fleet = await startFleet('network', 3);
  const [first] = fleet.members;
  if (first === undefined) throw new Error('no agents');
  near = first;
});
afterAll(cleanup);

/** A run whose tasks run while the network does what it does, and another that is submitted meanwhile. */
async function through(fault: () => void, heal: () => Promise<void> | void): Promise<void> {
  const before = await fleet.mark(1000);
  await fleet.untilStarted(before, 3);
  fault();
  const meanwhile = await fleet.mark(10);
  await heal();
  expect(states(await fleet.check([before, meanwhile]))).toEqual(['succeeded']);
}

const online = async (name: string): Promise<boolean> =>
  (await fleet.server.operator.agents()).some((agent) => agent.name === name && agent.online);

/** The server has seen that it is gone. */
const untilOffline = (name: string): Promise<true> =>
  eventually(async () => !(await online(name)), { what: `${name} to be offline` });

/** The agent has given up the old connection and made a new one, by itself. */
async function untilNewConnection({ name, network }: Member): Promise<void> {
  const before = network.accepted();
  await eventually(() => network.accepted() > before, { what: 'a new connection' });
  await eventually(() => online(name), { what: `${name} to be back` });
}

describe('a network between agents and server', () => {
  it('that cuts every connection loses nothing', async () => {
    await through(
      () => {
        for (const { network } of fleet.members) network.cut();
      },
      () => {},
    );
  });

  it('that refuses for a while loses nothing', async () => {
    await through(
      () => {
        near.network.refuse(true);
        near.network.cut();
      },
      async () => {
        await untilOffline(near.name);
        near.network.refuse(false);
      },
    );
  });

  it('that freezes, long enough for both ends to give up, loses nothing', async () => {
    await through(
      () => near.network.freeze(),
      async () => {
        await untilOffline(near.name);
        near.network.thaw();
      },
    );
  });

  it('that freezes so shortly that nobody notices, keeps the connection', async () => {
    const accepted = near.network.accepted();
    near.network.freeze();
    const run = await fleet.mark(10);
    near.network.thaw();
    expect(states(await fleet.check([run]))).toEqual(['succeeded']);
    expect(near.network.accepted()).toBe(accepted);
  });

  it('that swallows what goes up: the server hangs up, the agent comes back, nothing is lost', async () => {
    await through(
      () => near.network.swallow('up'),
      () => untilNewConnection(near),
    );
  });

  it('that swallows what goes down: the agent makes a new connection, nothing is lost', async () => {
    await through(
      () => near.network.swallow('down'),
      () => untilNewConnection(near),
    );
  });

  it('that swallows both ways: both notice, nothing is lost', async () => {
    await through(
      () => {
        near.network.swallow('up');
        near.network.swallow('down');
      },
      () => untilNewConnection(near),
    );
  });

  it('that is slow carries tasks and results all the same', async () => {
    near.network.delay(150);
    const run = await fleet.mark(10);
    expect(states(await fleet.check([run]))).toEqual(['succeeded']);
    near.network.delay(0);
  });
});
