import { eventually } from '../../harness/eventually.ts';
import {
  beginEverywhere,
  expectAtMostOnce,
  expectEnds,
  expectOnce,
  expectStartedOnce,
  marking,
  started,
} from '../markers.ts';
import { nextTag } from '../prepare.ts';
import { expectSame, type Scenario, step } from '../scenario.ts';

const SUBMITTED_WITHIN_MS = 120_000;

export const upgrade: Scenario = {
  name: 'upgrade',
  title: 'helm upgrade with runs in flight: nothing is lost, and nothing runs twice',
  steps(stage) {
    const { release } = stage;
    const next = { image: { tag: nextTag(release.tag) } };
    /** Idempotency key → id. */
    const runs = new Map<string, string>();
    /** Of them, those that did not succeed everywhere. */
    let unlike: ReadonlySet<string> = new Set();
    let before: readonly string[] = [];
    let over = '';
    return [
      step('install', async () => {
        await release.ensure();
        before = await release.ids();
      }),
      step('a run is under way on every node, and helm upgrade --wait replaces the server', async () => {
        over = await beginEverywhere(stage, 'over', 'sleep 25');
        await release.apply({ server: next });
      }),
      step('the run goes on, and ends as if nothing had been', async () => {
        await expectEnds(stage, await release.ended(over), 'succeeded');
        await expectStartedOnce(stage, 'over');
      }),
      step('helm upgrade --wait replaces server and agents, while runs are submitted one after another', async () => {
        let done = false;
        const upgraded = release.apply({ agent: next }).finally(() => {
          done = true;
        });
        while (!done || runs.size < 3) {
          const key = `during-${runs.size}`;
          // The server may be away, before or after it has the request: with the same key, the same run.
          const begin = (): Promise<string> =>
            release.begin`utility/shell --on all --offline wait --idempotency-key ${key} ${marking(key)}`;
          const id = await eventually(begin, { what: key, timeoutMs: SUBMITTED_WITHIN_MS, intervalMs: 500 });
          runs.set(key, id);
        }
        await upgraded;
      }),
      step('there are exactly the runs that were asked for, and each ends', async () => {
        const during = await eventually(
          async () => {
            const all = await release.runs();
            const found = all.filter(({ parameters }) => JSON.stringify(parameters).includes('during-'));
            return found.every(({ outcome }) => outcome !== 'open') && found;
          },
          { what: 'the end of all runs', timeoutMs: 120_000, intervalMs: 1_000 },
        );
        const ids = during.map(({ id }) => id);
        expectSame('runs', ids, [...runs.values()]);
        unlike = new Set(during.filter(({ outcome }) => outcome !== 'succeeded').map(({ id }) => id));
      }),
      step('each was started once on every node; or at most once, where its agent was stopped in it', async () => {
        const all = await started(stage);
        for (const [key, id] of runs) {
          if (unlike.has(id)) expectAtMostOnce(all, key, await release.ended(id));
          else expectOnce(all, key);
        }
      }),
      step('the agents are those they were', async () => {
        await release.complete();
        expectSame('agents', await release.ids(), before);
      }),
    ];
  },
};
