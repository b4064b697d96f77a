export type { PackCase } from './case.ts';
export { parseCases } from './parse.ts';
export { type CaseFailure, type CaseResult, runCase } from './run.ts';
