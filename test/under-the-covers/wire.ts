// One packet capture, read by tshark with the TLS keys and the .proto files: what went over a connection, packet by packet.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const exec = promisify(execFile);

export interface Packet {
  readonly number: number;
  readonly atMs: number;
  readonly fromAgent: boolean;
  readonly agentPort: number;
  /** IP and TCP headers included, the link layer not: what a network between two machines would carry. */
  readonly ipBytes: number;
  readonly tcpPayloadBytes: number;
  readonly tlsRecords: number;
  /** "DATA", "PING", …, each with its nine bytes of header in `http2Bytes`. */
  readonly http2Frames: readonly string[];
  readonly http2Bytes: number;
  readonly protobufBytes: number;
  /** "openline.agent.v1.Heartbeat", …: outermost first. */
  readonly messages: readonly string[];
}

export interface Capture {
  readonly file: string;
  /** As NSS writes them: node --tls-keylog=FILE. */
  readonly keys: string;
  readonly serverPort: number;
  /** Folder of the .proto files, absolute: tshark finds them in no other way. */
  readonly protoDir: string;
}

const HTTP2_FRAME_HEADER_BYTES = 9;
const HTTP2_KINDS: Readonly<Record<string, string>> = {
  '0': 'DATA',
  '1': 'HEADERS',
  '3': 'RST_STREAM',
  '4': 'SETTINGS',
  '6': 'PING',
  '7': 'GOAWAY',
  '8': 'WINDOW_UPDATE',
};

const FIELDS = [
  'frame.number',
  'frame.time_epoch',
  'tcp.srcport',
  'tcp.dstport',
  'ip.len',
  'tcp.len',
  'tls.record.length',
  'http2.type',
  'http2.length',
  'grpc.message_length',
  'protobuf.message.name',
] as const;

/** What every call of tshark on this capture begins with; a reader can repeat it. */
export function decodeArgs({ file, keys, serverPort, protoDir }: Capture): string[] {
  return [
    ...['-r', file],
    ...['-d', `tcp.port==${serverPort},tls`],
    ...['-o', `tls.keylog_file:${keys}`],
    ...['-o', 'protobuf.preload_protos:TRUE'],
    ...['-o', `uat:protobuf_search_paths:"${protoDir}","TRUE"`],
  ];
}

export async function readPackets(capture: Capture): Promise<Packet[]> {
  const fields = FIELDS.flatMap((field) => ['-e', field]);
  const { stdout } = await exec('tshark', [...decodeArgs(capture), '-T', 'fields', '-E', 'separator=|', ...fields], {
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => packetOf(line, capture.serverPort));
}

function packetOf(line: string, serverPort: number): Packet {
  const [number, epoch, from, to, ipLength, tcpLength, tlsLengths, types, lengths, grpcLengths, messages] = line
    .split('|')
    .map((value) => value.split(',').filter((item) => item !== ''));
  const sum = (values: readonly string[] = []) => values.reduce((total, value) => total + Number(value), 0);
  return {
    number: sum(number),
    atMs: sum(epoch) * 1000,
    fromAgent: sum(to) === serverPort,
    agentPort: sum(to) === serverPort ? sum(from) : sum(to),
    ipBytes: sum(ipLength),
    tcpPayloadBytes: sum(tcpLength),
    tlsRecords: tlsLengths?.length ?? 0,
    http2Frames: (types ?? []).map((type) => HTTP2_KINDS[type] ?? type),
    http2Bytes: sum(lengths) + HTTP2_FRAME_HEADER_BYTES * (lengths?.length ?? 0),
    protobufBytes: sum(grpcLengths),
    messages: messages ?? [],
  };
}

/** As tshark shows it: the messages and the value of every field. */
export async function showMessages(capture: Capture, numbers: readonly number[]): Promise<string> {
  const filter = `protobuf && frame.number in {${numbers.join(',')}}`;
  const { stdout } = await exec('tshark', [...decodeArgs(capture), '-O', 'protobuf', '-Y', filter]);
  return stdout
    .split('\n')
    .filter((line) => /^(?:Frame \d|Protocol Buffers| {4,}\S)/.test(line))
    .join('\n');
}

export interface Cost {
  readonly packets: number;
  readonly ipBytes: number;
  readonly tlsBytes: number;
  readonly http2Frames: number;
  readonly http2Bytes: number;
  readonly protobufBytes: number;
}

export function costOf(packets: readonly Packet[]): Cost {
  const sum = (of: (packet: Packet) => number) => packets.reduce((total, packet) => total + of(packet), 0);
  return {
    packets: packets.length,
    ipBytes: sum((packet) => packet.ipBytes),
    tlsBytes: sum((packet) => packet.tcpPayloadBytes),
    http2Frames: sum((packet) => packet.http2Frames.length),
    http2Bytes: sum((packet) => packet.http2Bytes),
    protobufBytes: sum((packet) => packet.protobufBytes),
  };
}
