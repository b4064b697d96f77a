// Writes what is generated from other sources and committed. scripts/check.ts fails when it differs from what this writes.
import { generateProto } from './proto.ts';

await generateProto();
