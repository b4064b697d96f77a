import { FrameDirection, type LinkFrame, type LinkSnapshot } from '@openline/proto/operator';
import { iso, number } from './values.ts';

/** The lines of `openline trace -o jsonl`. Public: fields are added, never renamed or removed. */
export type TraceView = SnapshotView | FrameView | { type: 'skipped'; frames: number };

export interface SnapshotView {
  type: 'snapshot';
  connected: boolean;
  remoteAddress: string | null;
  sessionEpoch: number;
  openedAt: string | null;
  messagesUp: number;
  messagesDown: number;
  /** Protobuf bytes with gRPC's five-byte prefix. */
  messageBytesUp: number;
  messageBytesDown: number;
  /** Bytes of the TCP connection, TLS included. */
  socketBytesUp: number;
  socketBytesDown: number;
  tlsProtocol: string | null;
  tlsCipher: string | null;
}

export interface FrameView {
  type: 'frame';
  /** ISO 8601 with microseconds. */
  at: string;
  atUnixUs: number;
  direction: 'up' | 'down';
  kind: string;
  bytes: number;
  detail: string;
  /** Bytes of the TCP connection so far, TLS included. */
  socketBytesUp: number;
  socketBytesDown: number;
}

export function snapshotView(link: LinkSnapshot): SnapshotView {
  return {
    type: 'snapshot',
    connected: link.connected,
    remoteAddress: link.remoteAddress || null,
    sessionEpoch: number(link.sessionEpoch),
    openedAt: iso(link.openedUnixMs),
    messagesUp: number(link.messagesUp),
    messagesDown: number(link.messagesDown),
    messageBytesUp: number(link.messageBytesUp),
    messageBytesDown: number(link.messageBytesDown),
    socketBytesUp: number(link.socketBytesUp),
    socketBytesDown: number(link.socketBytesDown),
    tlsProtocol: link.tlsProtocol || null,
    tlsCipher: link.tlsCipher || null,
  };
}

export function frameView(frame: LinkFrame): FrameView {
  const us = number(frame.atUnixUs);
  const millis = new Date(Math.floor(us / 1000)).toISOString();
  return {
    type: 'frame',
    at: `${millis.slice(0, -1)}${String(us % 1000).padStart(3, '0')}Z`,
    atUnixUs: us,
    direction: frame.direction === FrameDirection.FRAME_DIRECTION_UP ? 'up' : 'down',
    kind: frame.kind,
    bytes: frame.bytes,
    detail: frame.detail,
    socketBytesUp: number(frame.socketBytesUp),
    socketBytesDown: number(frame.socketBytesDown),
  };
}
