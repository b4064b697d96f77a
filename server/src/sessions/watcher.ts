import type { Heartbeat } from '@openline/proto/agent';
import type { Attributes } from '../agents/selector.ts';
import type { AgentPolicy } from '../policy/policies.ts';
import type { CloseCode } from './session.ts';

/** Who is told of lines that come and go. The health model implements it. */
export interface LineWatcher {
  /** A session is ready. */
  opened(agent: Attributes, policy: AgentPolicy): void;
  /**
   * A session that was ready has ended, and none has taken over yet.
   * @param heardMs when the agent was last heard, on the monotonic clock
   */
  closed(agentId: string, ended: { readonly code: CloseCode; readonly why: string; readonly heardMs: number }): void;
  heartbeat(agentId: string, heartbeat: Heartbeat): void;
}
