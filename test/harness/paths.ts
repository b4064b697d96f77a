import { join } from 'node:path';

/** The checkout. */
export const ROOT = join(import.meta.dirname, '..', '..');
/** What is deployed, and so what is tested. */
export const OPENLINE = join(ROOT, 'dist', 'openline.mjs');
export const AGENT = join(ROOT, 'dist', 'agent.mjs');
export const TEST_PACK = join(import.meta.dirname, 'packs', 'test.yaml');
/** Where the processes of a test run find the files of an empty database (global-setup.ts). */
export const TEMPLATE_VARIABLE = 'OPENLINE_TEST_DATABASE';
