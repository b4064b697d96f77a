import { isIP, isIPv4, isIPv6 } from 'node:net';

const HOST_LABEL = /^(?!-)[A-Za-z0-9-]{1,63}(?<!-)$/;

/** What `format` may say, the check, and how a message names it. */
export const FORMATS = {
  hostname: { names: 'a host name', test: isHostName },
  host: { names: 'a host name or an IP address', test: (text: string) => isIP(text) !== 0 || isHostName(text) },
  ipv4: { names: 'an IPv4 address', test: isIPv4 },
  ipv6: { names: 'an IPv6 address', test: isIPv6 },
  uri: { names: 'an absolute URI', test: (text: string) => URL.canParse(text) },
} as const satisfies Record<string, { names: string; test: (text: string) => boolean }>;

function isHostName(text: string): boolean {
  return (
    text.length <= 253 &&
    text
      .replace(/\.$/, '')
      .split('.')
      .every((label) => HOST_LABEL.test(label))
  );
}
