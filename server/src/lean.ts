import { replaceProcess } from '@openline/proto/replace-process';

/**
 * V8 lets the young generation grow to 128 MiB under a burst and keeps it. A smaller one costs no measurable throughput
 * (docs/performance.md) and is what an agent's share of the server's memory is mostly made of.
 */
replaceProcess(['--max-semi-space-size=8']);
