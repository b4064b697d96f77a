export interface HostPort {
  readonly host: string;
  /** 0: the operating system picks a free one. */
  readonly port: number;
}

/** "0.0.0.0:5723", "[::]:5723", "host:0". */
export function parseHostPort(text: string): HostPort | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text.trim());
  if (match === null) return undefined;
  const host = match[1] ?? match[2];
  const port = Number(match[3]);
  return host === undefined || port > 65_535 ? undefined : { host, port };
}

export function formatHostPort({ host, port }: HostPort): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
