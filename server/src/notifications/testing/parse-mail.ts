/** Enough of RFC 5322 and MIME to look at what was sent. */

export interface ParsedMail {
  /** Names in lower case, folded lines joined. */
  readonly headers: ReadonlyMap<string, string>;
  /** Encoded words decoded. */
  readonly subject: string;
  readonly messageId: string;
  readonly text: string;
  readonly html: string;
  readonly raw: string;
}

export function parseMail(bytes: Buffer): ParsedMail {
  const raw = bytes.toString('utf8');
  const { headers, body } = split(raw);
  const parts = new Map<string, string>();
  collect(headers, body, parts);
  return {
    headers,
    subject: decodeWords(headers.get('subject') ?? ''),
    messageId: headers.get('message-id') ?? '',
    text: (parts.get('text/plain') ?? '').replaceAll('\r\n', '\n'),
    html: (parts.get('text/html') ?? '').replaceAll('\r\n', '\n'),
    raw,
  };
}

function split(raw: string): { headers: Map<string, string>; body: string } {
  const end = raw.indexOf('\r\n\r\n');
  const head = end < 0 ? raw : raw.slice(0, end);
  const headers = new Map<string, string>();
  for (const line of head.replace(/\r\n[ \t]+/g, ' ').split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return { headers, body: end < 0 ? '' : raw.slice(end + 4) };
}

function collect(headers: ReadonlyMap<string, string>, body: string, into: Map<string, string>): void {
  const type = headers.get('content-type') ?? 'text/plain';
  const boundary = /boundary="?([^";]+)"?/.exec(type)?.[1];
  if (boundary === undefined) {
    into.set(
      type.split(';')[0]?.trim().toLowerCase() ?? '',
      decode(body, headers.get('content-transfer-encoding') ?? ''),
    );
    return;
  }
  for (const part of body.split(`--${boundary}`).slice(1, -1)) {
    const inner = split(part.replace(/^\r\n/, '').replace(/\r\n$/, ''));
    collect(inner.headers, inner.body, into);
  }
}

function decode(body: string, encoding: string): string {
  switch (encoding.toLowerCase()) {
    case 'base64':
      return Buffer.from(body, 'base64').toString('utf8');
    case 'quoted-printable':
      return fromQuotedPrintable(body.replace(/=\r\n/g, ''));
    default:
      return body;
  }
}

function fromQuotedPrintable(text: string): string {
  const bytes = text.replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

function decodeWords(text: string): string {
  return text
    .replace(/\?=\s+=\?/g, '?==?')
    .replace(/=\?utf-8\?([bq])\?([^?]*)\?=/gi, (_, kind: string, value: string) =>
      kind.toLowerCase() === 'b'
        ? Buffer.from(value, 'base64').toString('utf8')
        : fromQuotedPrintable(value.replaceAll('_', ' ')),
    );
}
