// What end-to-end and chaos tests, and the benchmark, are made of. Always `afterEach(cleanup)` or `afterAll(cleanup)`.
import { thawDisks, unmountDisks } from './disk.ts';
import { killProcesses } from './process.ts';
import { killStragglers, removeScratch } from './scratch.ts';

export {
  type MailServer,
  type MailServerOptions,
  type ReceivedMail,
  startMailServer,
} from '../../server/src/notifications/testing/mail-server.ts';
export { type AgentOptions, startAgent, type TestAgent } from './agent.ts';
export { type BareAgent, bareAgent } from './bare-agent.ts';
export { type AgentIdentity, authorityOf, certify, foreignAuthority, readIdentity } from './certificates.ts';
export { type CliResult, runCli, startCli } from './cli.ts';
export { canPlayCluster, startCluster, type TestCluster } from './cluster.ts';
export { canMount, type FreezableDisk, freezableDisk, type SmallDisk, smallDisk } from './disk.ts';
export { became, type EventAgent, eventAgent, fired } from './event-agent.ts';
export { eventually } from './eventually.ts';
export { type Claim, claimsOf, markerDir, type Start, violations } from './markers.ts';
export { type Network, startNetwork } from './net.ts';
export { canMakeNodes, hostsOfNodes, startNode, type TestNode } from './node.ts';
export { localAccess, type Operator, operatorClient, type RunRequest, stateName } from './operator.ts';
export { packsHeld, pushPacks, signWithSiteKey } from './packs.ts';
export { startProcess, type TestProcess } from './process.ts';
export { processesNaming, scratchDir } from './scratch.ts';
export { type ServerOptions, startServer, type TestServer } from './server.ts';
export { connectionsTo, type Socket, socketTable } from './sockets.ts';

/** Ends every process that the tests of this file started, whatever became of them, and removes their directories. */
export async function cleanup(): Promise<void> {
  thawDisks();
  await killProcesses();
  killStragglers();
  unmountDisks();
  removeScratch();
}
