import type { Done, Ended } from './shell.ts';

/** What a step promises of one agent's end. */
export interface Expected {
  readonly state: string;
  readonly exitCode?: number;
  /** Texts that the output has to hold, as they are. */
  readonly output?: readonly string[];
}

/** Compares what the server has kept with what was promised. Empty when every promise was kept. */
export function differences(ends: readonly Ended[], expected: Readonly<Record<string, Expected>>): string[] {
  const found = new Map(ends.map((end) => [end.agent, end]));
  const missing = Object.keys(expected).filter((agent) => !found.has(agent));
  return [
    ...missing.map((agent) => `${agent} was not asked`),
    ...ends.flatMap((end) => {
      const wanted = expected[end.agent];
      return wanted === undefined ? [`${end.agent} was asked, and should not have been`] : differencesOf(end, wanted);
    }),
  ];
}

function differencesOf({ agent, state, exitCode, output }: Ended, wanted: Expected): string[] {
  if (state !== wanted.state) return [`${agent} ended as ${state}, not as ${wanted.state}`];
  if (wanted.exitCode !== undefined && exitCode !== wanted.exitCode) {
    return [`${agent} ended with exit code ${exitCode ?? 'none'}, not ${wanted.exitCode}`];
  }
  const missing = (wanted.output ?? []).filter((text) => !output.includes(text));
  return missing.map((text) => `the output of ${agent} lacks ${JSON.stringify(text)}`);
}

/** @throws Error with every difference */
export function expectEnds(ends: readonly Ended[], expected: Readonly<Record<string, Expected>>): void {
  const found = differences(ends, expected);
  if (found.length > 0) throw new Error(found.join('; '));
}

/** @throws Error */
export function expectExit(done: Done, code: number): void {
  if (done.how !== `exit code ${code}`) throw new Error(`openline ended with ${done.how}, not exit code ${code}`);
}
