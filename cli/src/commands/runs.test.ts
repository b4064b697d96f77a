import { expect, it } from 'vitest';
import { dispatchMessage, runMessage } from '../testing/messages.ts';
import { runView } from '../views/run.ts';
import { renderRuns } from './runs.ts';

const id = '01a22c70-66e0-7090-8deb-6014b76e53c9';

it('the list of runs shows whole ids where there is room, and else what is enough to name them', () => {
  const run = runView(runMessage([dispatchMessage('web-1', 4)], { id }));
  const at = (columns: number) => renderRuns([run], { columns }, 0)[1] ?? '';
  expect(at(Number.POSITIVE_INFINITY)).toMatch(/^01a22c70-66e0-7090-8deb-6014b76e53c9 {3}linux\//);
  expect(at(80)).toMatch(/^01a22c70-66e0-7090 {3}linux\//);
});
