/** One agent's connection, as a session uses it. Implemented over grpc-js in grpc/. */
export interface Link {
  readonly agentId: string;
  /** "address:port" of the agent's end. */
  readonly remoteAddress: string;
  readonly tlsProtocol: string;
  readonly tlsCipher: string;
  /** Moves when the agent renews its certificate over this connection. */
  certificateExpiresUnixMs(): number;
  /** One message at a time: `flushed` is called when the next may be written. */
  write(message: Buffer, flushed: () => void): void;
  /** Ends the stream after what was written. */
  end(): void;
  /** Drops the connection at once: the peer does not read. */
  destroy(): void;
  /** Bytes of the TCP connection so far, TLS included. */
  socketBytes(): { readonly up: number; readonly down: number };
}
