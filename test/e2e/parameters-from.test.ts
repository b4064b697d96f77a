import { TaskEnd, TaskReports, TaskResult } from '@openline/proto/agent';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  bareAgent,
  cleanup,
  packsHeld,
  pushPacks,
  readIdentity,
  runCli,
  scratchDir,
  startAgent,
  startServer,
  stateName,
  type TestServer,
} from '../harness/index.ts';

/** Parameters that name a property of the target: each agent puts its own in. */

const NASTY = `a'b"c\n \`id\` $(touch pwned) ; \\ label:site é`;
let server: TestServer;
let dir: string;

beforeAll(async () => {
  dir = scratchDir('parameters-from');
  server = await startServer({ dir, flags: ['--heartbeat-interval=1s', '--offline-after=5s'] });
  await pushPacks(server);
  const pinned = (labels: Record<string, string>) => server.operator.joinToken(labels);
  await startAgent({
    dir,
    server,
    name: 'lyon',
    labels: { size: '7', role: 'said' },
    joinToken: await pinned({ value: NASTY }),
  });
  await startAgent({
    dir,
    server,
    name: 'paris',
    labels: { value: 'of paris', size: 'big', role: 'said' },
    joinToken: await pinned({ role: 'pinned' }),
  });
  await startAgent({ dir, server, name: 'without' });
  await packsHeld(server);
});
afterAll(cleanup);

/** agent → what it printed, or why it did not run. */
async function outcomes(runId: string): Promise<Record<string, string>> {
  const { dispatches } = await server.operator.ended(runId);
  return Object.fromEntries(
    await Promise.all(
      dispatches.map(async ({ agentId, agentName, state, reasonCode, reason }) => {
        if (stateName(state) !== 'succeeded') return [agentName, `${stateName(state)} ${reasonCode}: ${reason}`];
        return [agentName, (await server.operator.output(runId, agentId)).data.toString()];
      }),
    ),
  );
}

describe('a parameter that is of the target', () => {
  it('has at each agent the value of that agent, verbatim, and one without it says so', async () => {
    const args = ['run', 'test/show', '--on', 'all', '--param-from', 'value=label:value', '--detach'];
    const { code, stdout, stderr } = await runCli(server, args);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const runId = stdout.toString().trim();
    expect(await outcomes(runId)).toEqual({
      lyon: NASTY,
      paris: 'of paris',
      without: "rejected REQUIREMENTS_NOT_MET: this agent has no label value, which parameter 'value' is to be",
    });
    const shown = await runCli(server, ['runs', 'show', runId]);
    expect(shown.stdout.toString()).toContain('value=label:value');
    expect(shown.stdout.toString()).toMatch(/paris .*value=of paris/);
    const document = JSON.parse((await runCli(server, ['runs', 'show', runId, '-o', 'json'])).stdout.toString());
    expect(document).toMatchObject({
      parameters: {},
      parametersFrom: { value: 'label:value' },
      dispatches: [
        { agent: 'lyon', parametersFrom: { value: NASTY } },
        { agent: 'paris', parametersFrom: { value: 'of paris' } },
        { agent: 'without', parametersFrom: null },
      ],
    });
  });

  it('is what a selector sees: a pinned label before the agent’s own, a fact, the name', async () => {
    const show = async (property: string, targets: string) => {
      const run = await server.operator.submit('test/show', { targets, parametersFrom: { value: property } });
      return outcomes(run.id);
    };
    expect(await show('label:role', 'role=pinned')).toEqual({ paris: 'pinned' });
    expect(await show('label:role', 'role=said')).toEqual({ lyon: 'said' });
    expect(await show('fact:os', 'name=lyon')).toEqual({ lyon: 'linux' });
    expect(await show('name', 'role')).toEqual({ lyon: 'lyon', paris: 'paris' });
  });

  it('is converted to the type of the parameter, or refused by that target alone', async () => {
    const run = await server.operator.submit('test/exit', { targets: 'size', parametersFrom: { code: 'label:size' } });
    expect(await outcomes(run.id)).toEqual({
      lyon: expect.stringMatching(/^failed TASK_EXIT_CODE.* 7/),
      paris: "rejected PARAMETERS_INVALID: parameter 'code' must be a whole number",
    });
  });

  it('is shown before anything runs, with who would refuse it', async () => {
    const args = ['run', 'test/show', '--on', 'all', '--param-from', 'value=label:value', '--dry-run', '-o', 'json'];
    const preview = JSON.parse((await runCli(server, args)).stdout.toString());
    expect(preview.targets).toMatchObject([
      { agent: 'lyon', parametersFrom: { value: NASTY }, wouldReject: null },
      { agent: 'paris', parametersFrom: { value: 'of paris' }, wouldReject: null },
      { agent: 'without', parametersFrom: {}, wouldReject: { code: 'REQUIREMENTS_NOT_MET' } },
    ]);
  });

  it('is not both a value and a property', async () => {
    const args = ['run', 'test/show', '--on', 'all', '--param', 'value=x', '--param-from', 'value=name'];
    expect(await runCli(server, args)).toMatchObject({ code: 2, stderr: expect.stringContaining('--param-from') });
  });
});

describe('an agent of an older version', () => {
  it('rejects such a run instead of running it without the parameter, connected or when it comes back', async () => {
    const lent = await startAgent({ dir, server, name: 'older', labels: { value: 'x' } });
    await lent.stop();
    const { caPem, keyPem, certificatePem } = await readIdentity(lent.dataDir);
    const run = () =>
      server.operator.submit('test/show', {
        targets: 'name=older',
        parametersFrom: { value: 'label:value' },
        wait: true,
      });
    const waits = await run();
    const older = bareAgent(server.agentPort, { caPem, keyPem, certificatePem });
    older.hello({ capabilities: ['output-resend', 'events', 'trust'], facts: { 'interpreter.bash': '/bin/bash' } });
    await older.welcomed();
    const ends = [await outcomes(waits.id), await outcomes((await run()).id)];
    for (const { older } of ends) expect(older).toMatch(/^rejected AGENT_OUTDATED: this version of the agent/);
    expect(older.received.filter(({ kind }) => kind?.$case === 'tasks')).toEqual([]);
    older.close();
  });

  it('that puts them in and does not say what they were is told as such', async () => {
    const lent = await startAgent({ dir, server, name: 'silent' });
    await lent.stop();
    const { caPem, keyPem, certificatePem } = await readIdentity(lent.dataDir);
    const silent = bareAgent(server.agentPort, { caPem, keyPem, certificatePem });
    silent.hello({ capabilities: ['parameters-from'], facts: { 'interpreter.bash': '/bin/bash' } });
    await silent.welcomed();
    const run = await server.operator.submit('test/show', {
      targets: 'name=silent',
      parametersFrom: { value: 'name' },
    });
    const [atUnixMs, runId] = [BigInt(Date.now()), run.id];
    const times = { acceptedUnixMs: atUnixMs, startedUnixMs: atUnixMs, endedUnixMs: atUnixMs };
    const result = TaskResult.create({ runId, end: TaskEnd.TASK_END_SUCCEEDED, ...times });
    silent.send({ kind: { $case: 'taskReports', value: TaskReports.create({ results: [result] }) } });
    await server.operator.ended(runId);
    const { stdout } = await runCli(server, ['runs', 'show', runId]);
    expect(stdout.toString()).toMatch(/silent .*not reported by this agent/);
    silent.close();
  });
});
