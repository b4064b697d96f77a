import { describe, expect, it } from 'vitest';
import { parseSubnet } from '../../config/values.ts';
import { createAddressGuard } from './address-guard.ts';

const guard = createAddressGuard([], []);
const subnets = (...texts: string[]) => texts.flatMap((text) => parseSubnet(text) ?? []);

describe('a webhook may not be pointed at', () => {
  it.each([
    ['127.0.0.1', 'loopback'],
    ['127.255.1.2', 'loopback'],
    ['::1', 'loopback'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['::ffff:7f00:1', 'loopback'],
    ['64:ff9b::7f00:1', 'loopback'],
    ['64:ff9b::127.0.0.1', 'loopback'],
    ['2002:7f00:1::', 'loopback'],
    ['::7f00:1', 'loopback'],
    ['169.254.169.254', 'link-local'],
    ['::ffff:169.254.169.254', 'link-local'],
    ['fe80::1', 'link-local'],
    ['fe80::1%eth0', 'link-local'],
    ['fd00:ec2::254', 'metadata'],
    ['100.100.100.200', 'metadata'],
    ['168.63.129.16', 'metadata'],
    ['0.0.0.0', 'no address of a host'],
    ['::', 'no address of a host'],
    ['255.255.255.255', 'no address of a host'],
    ['224.0.0.1', 'no address of a host'],
    ['example.com', 'no address'],
  ])('%s', (address, why) => expect(guard.refuses(address)).toMatch(why));

  it('what the configuration denies', () => {
    const strict = createAddressGuard([], subnets('10.0.0.0/8', 'fd00::/8'));
    expect(strict.refuses('10.1.2.3')).toMatch('notifyDeny');
    expect(strict.refuses('::ffff:10.1.2.3')).toMatch('notifyDeny');
    expect(strict.refuses('fd12::1')).toMatch('notifyDeny');
    expect(strict.refuses('11.0.0.1')).toBeUndefined();
  });
});

describe('a webhook may be pointed at', () => {
  it.each(['10.0.0.1', '192.168.1.1', '93.184.216.34', '2606:2800:220:1::1', 'fd12::1'])('%s', (address) =>
    expect(guard.refuses(address)).toBeUndefined(),
  );

  it('what the configuration allows, and nothing beside it', () => {
    const open = createAddressGuard(subnets('127.0.0.1', '169.254.10.0/24'), subnets('127.0.0.0/8'));
    expect(open.refuses('127.0.0.1')).toBeUndefined();
    expect(open.refuses('127.0.0.2')).toMatch('loopback');
    expect(open.refuses('169.254.10.9')).toBeUndefined();
    expect(open.refuses('169.254.169.254')).toMatch('link-local');
  });
});

describe('a subnet', () => {
  it.each(['', '10', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/8/8', 'x/8', 'fd00::/129', '10.0.0.0/'])(
    'is not «%s»',
    (text) => expect(parseSubnet(text)).toBeUndefined(),
  );
});
