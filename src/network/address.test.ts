import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  contains,
  formatAddress,
  formatPrefix,
  type IpAddress,
  isLinkLocalV6,
  isMulticast,
  isUnspecified,
  lastOf,
  parseAddress,
  prefixOf,
} from './address.ts';

const parsed = (text: string): IpAddress => {
  const address = parseAddress(text);
  if (address === undefined) throw new Error(`${text} is no address`);
  return address;
};

describe('parsing', () => {
  test.each([
    '0.0.0.0',
    '255.255.255.255',
    '10.0.0.1',
    '::',
    '::1',
    'fe80::1',
    '2001:db8::8:800:200c:417a',
    '1:2:3:4:5:6:7:8',
    '1::8',
    '::ffff:102:304',
  ])('%s survives as it is', (text) => {
    expect(formatAddress(parsed(text))).toBe(text);
  });

  test.each([
    ['FE80:0:0:0:0:0:0:1', 'fe80::1'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['::ffff:1.2.3.4', '::ffff:102:304'],
    ['1:2:3:4:5:6:1.2.3.4', '1:2:3:4:5:6:102:304'],
    ['1::', '1::'],
  ])('%s is written %s', (text, expected) => {
    expect(formatAddress(parsed(text))).toBe(expected);
  });

  test.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.4 ',
    '0x1.2.3.4',
    '::1%eth0',
    '1::2::3',
    ':1',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7::8',
    '12345::',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '10.0.0.1/24',
    `${'0:'.repeat(5000)}1`,
  ])('%j is no address', (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  test('agrees with the judgement of Node on any text', () => {
    const text = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.stringMatching(/^[0-9a-f:.]{0,45}$/),
      fc.string({ maxLength: 20 }),
    );
    fc.assert(
      fc.property(text, (candidate) => {
        const address = parseAddress(candidate);
        expect(address?.family === 4).toBe(isIPv4(candidate));
        expect(address?.family === 6).toBe(isIPv6(candidate) && !candidate.includes('%'));
      }),
    );
  });

  test('what is written is read as the same address', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 16, maxLength: 16, max: 1 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
    );
    fc.assert(
      fc.property(bytes, (raw) => {
        const address: IpAddress = {
          family: raw.length === 4 ? 4 : 6,
          bytes: Uint8Array.from(raw),
        };
        expect(parseAddress(formatAddress(address))).toEqual(address);
      }),
    );
  });
});

describe('ranges', () => {
  test.each([
    ['10.1.2.3', 24, '10.1.2.0/24', '10.1.2.255'],
    ['10.1.2.3', 23, '10.1.2.0/23', '10.1.3.255'],
    ['10.1.2.3', 32, '10.1.2.3/32', '10.1.2.3'],
    ['10.1.2.3', 0, '0.0.0.0/0', '255.255.255.255'],
    ['fd00::1', 64, 'fd00::/64', 'fd00::ffff:ffff:ffff:ffff'],
    ['fd00::ff', 121, 'fd00::80/121', 'fd00::ff'],
  ])('%s/%i is %s to %s', (text, length, prefix, last) => {
    expect(formatPrefix(prefixOf(parsed(text), length))).toBe(prefix);
    expect(formatAddress(lastOf(prefixOf(parsed(text), length)))).toBe(last);
  });

  test('hold the addresses of their family that begin with them', () => {
    const prefix = prefixOf(parsed('10.1.2.0'), 23);
    expect(contains(prefix, parsed('10.1.3.255'))).toBe(true);
    expect(contains(prefix, parsed('10.1.4.0'))).toBe(false);
    expect(contains(prefixOf(parsed('0.0.0.0'), 0), parsed('::1'))).toBe(false);
  });
});

test('kinds of addresses', () => {
  expect(['0.0.0.0', '::', '::1'].map((text) => isUnspecified(parsed(text)))).toEqual([
    true,
    true,
    false,
  ]);
  expect(
    ['224.0.0.1', '239.1.1.1', '240.0.0.1', 'ff02::1'].map((t) => isMulticast(parsed(t))),
  ).toEqual([true, true, false, true]);
  expect(
    ['fe80::1', 'febf::1', 'fec0::1', '169.254.0.1'].map((t) => isLinkLocalV6(parsed(t))),
  ).toEqual([true, true, false, false]);
});
