import { BlockList, isIP, isIPv4 } from 'node:net';
import { parseSubnet, type Subnet } from '../../config/values.ts';

/**
 * Which addresses webhooks may not be pointed at: a server stands where its administrator's notes about "internal" services hold, and what
 * it is told to ask for may come from somebody who stands elsewhere.
 */
export interface AddressGuard {
  /** @returns why this address must not be connected to; undefined: it may */
  refuses(address: string): string | undefined;
}

const LOOPBACK = ['127.0.0.0/8', '::1/128'];
const LINK_LOCAL = ['169.254.0.0/16', 'fe80::/10', 'fec0::/10'];
/** Of the clouds, where they are not link-local: AWS, Google, Alibaba, Oracle, Azure. */
const METADATA = ['fd00:ec2::254', 'fd20:ce::254', '100.100.100.200', '192.0.0.192', '168.63.129.16'];
const NO_HOST = ['0.0.0.0/8', '::/128', '224.0.0.0/4', '240.0.0.0/4', 'ff00::/8'];

const BUILT_IN: readonly (readonly [what: string, subnets: readonly string[]])[] = [
  ['a loopback address', LOOPBACK],
  ['a link-local address', LINK_LOCAL],
  ['a metadata address', METADATA],
  ['no address of a host', NO_HOST],
];

/** @param allow wins over everything that is denied */
export function createAddressGuard(allow: readonly Subnet[], deny: readonly Subnet[]): AddressGuard {
  const allowed = listOf(allow);
  const denied = BUILT_IN.map(
    ([what, subnets]) => [what, listOf(subnets.flatMap((each) => parseSubnet(each) ?? []))] as const,
  );
  denied.push(['an address that is denied by notifyDeny', listOf(deny)]);
  return {
    refuses(address) {
      // A scope ("fe80::1%eth0") only says by which interface.
      const [bare = ''] = address.split('%');
      const family = isIPv4(bare) ? 'ipv4' : 'ipv6';
      if (isIP(bare) === 0) return 'no address';
      if (allowed.check(bare, family)) return undefined;
      return denied.find(([, list]) => list.check(bare, family))?.[0];
    },
  };
}

function listOf(subnets: readonly Subnet[]): BlockList {
  const list = new BlockList();
  for (const { address, prefix } of subnets) {
    if (!isIPv4(address)) {
      list.addSubnet(address, prefix, 'ipv6');
      continue;
    }
    list.addSubnet(address, prefix, 'ipv4');
    // The same hosts by IPv6: NAT64, 6to4 and the old compatible form; the mapped form is the list's own business.
    const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number);
    const hex = `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
    list.addSubnet(`64:ff9b::${hex}`, 96 + prefix, 'ipv6');
    list.addSubnet(`2002:${hex}::`, 16 + prefix, 'ipv6');
    // ::/96 itself would take ::1 with it.
    if (prefix > 0 && a > 0) list.addSubnet(`::${hex}`, 96 + prefix, 'ipv6');
  }
  return list;
}
