import { isIP } from 'node:net';

/** The notations of the configuration. Each returns undefined for what it cannot read: the caller knows the key to name. */

export interface Subnet {
  readonly address: string;
  readonly prefix: number;
}

/** "10.0.0.0/8", "fd00::/8", or one address. */
export function parseSubnet(text: string): Subnet | undefined {
  const [address = '', bits, more] = text.trim().split('/');
  const family = isIP(address);
  const most = family === 4 ? 32 : 128;
  const prefix = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN;
  return family === 0 || more !== undefined || !(prefix <= most) ? undefined : { address, prefix };
}
