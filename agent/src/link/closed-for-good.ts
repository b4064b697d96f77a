import { ChannelCredentials, type experimental } from '@grpc/grpc-js';

/**
 * Credentials of a channel that stays closed. grpc-js (1.14.7) dials once more for a channel that was closed while it waited to dial again; when a
 * server is there by then, the agent has a second connection to it, which nobody uses and nobody closes.
 */
export function closedForGood(credentials: ChannelCredentials): ChannelCredentials {
  return new ClosedForGood(credentials);
}

type CreateConnector = ChannelCredentials['_createSecureConnector'];

class ClosedForGood extends ChannelCredentials {
  readonly #inner: ChannelCredentials;

  constructor(inner: ChannelCredentials) {
    super();
    this.#inner = inner;
  }

  override _isSecure(): boolean {
    return this.#inner._isSecure();
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(...args: Parameters<CreateConnector>): experimental.SecureConnector {
    const inner = this.#inner._createSecureConnector(...args);
    let closed = false;
    return {
      // Asked before the TCP connection is made.
      waitForReady: () => (closed ? Promise.reject(new Error('the channel was closed')) : inner.waitForReady()),
      connect: (socket) => inner.connect(socket),
      getCallCredentials: () => inner.getCallCredentials(),
      destroy() {
        closed = true;
        inner.destroy();
      },
    };
  }
}
