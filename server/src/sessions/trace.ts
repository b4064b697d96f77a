/** What `openline trace` shows of one link. Costs nothing while nobody looks. */
export interface LinkSnapshot {
  readonly connected: boolean;
  readonly remoteAddress: string;
  readonly epoch: number;
  readonly openedAt: Date | undefined;
  readonly messagesUp: number;
  readonly messagesDown: number;
  readonly messageBytesUp: number;
  readonly messageBytesDown: number;
  /** Of the TCP connection, TLS included. */
  readonly socketBytesUp: number;
  readonly socketBytesDown: number;
  readonly tlsProtocol: string;
  readonly tlsCipher: string;
}

export interface LinkFrame {
  readonly atUnixUs: number;
  readonly direction: 'up' | 'down';
  readonly kind: string;
  readonly bytes: number;
  readonly detail: string;
  readonly socketBytesUp: number;
  readonly socketBytesDown: number;
}

export type TraceItem =
  | { kind: 'snapshot'; snapshot: LinkSnapshot }
  | { kind: 'frame'; frame: LinkFrame }
  | { kind: 'skipped'; frames: number };

export interface LinkTracer {
  /** A snapshot first, then frames; a new snapshot whenever the session changes. Ends with the signal. */
  trace(agentId: string, signal: AbortSignal): AsyncIterable<TraceItem>;
  /** What is known only while the agent is connected. */
  liveStatus(agentId: string): { running: number; queued: number; fault: string } | undefined;
  connectedCount(): number;
}
