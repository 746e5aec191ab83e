import { describe, expect, test } from 'vitest';
import { emptyAdapter } from '../../test/support/adapter-settings.ts';
import { AgentError } from '../errors.ts';
import { formatAddress, formatPrefix } from './address.ts';
import { networkLimits } from './limits.ts';
import {
  type AdapterConfig,
  type AdapterSettings,
  parseAdapter,
  parseAdapterId,
  parseNamespaceId,
} from './settings.ts';

const v4 = { IPAddress: '10.0.0.2', PrefixLength: 24 };
const parse = (settings: Partial<AdapterSettings>): AdapterConfig =>
  parseAdapter({ ...emptyAdapter, ...settings });
const route = (DestinationPrefix: string, NextHop = '', Metric = 0) => ({
  DestinationPrefix,
  NextHop,
  Metric,
});

const texts = ({ addresses, routes }: AdapterConfig) => ({
  addresses: addresses.map((entry) => `${formatAddress(entry.address)}/${entry.prefixLength}`),
  routes: routes.map(
    ({ destination, family, gateway, metric, lowMetric }) =>
      `${destination === undefined ? `default${family}` : formatPrefix(destination)} ${
        gateway === undefined ? 'link' : formatAddress(gateway)
      } ${metric}/${lowMetric}`,
  ),
});

describe('what hosts send', () => {
  test('lists of addresses and routes', () => {
    const config = parse({
      IPConfigs: [v4, { IPAddress: 'fd00::2', PrefixLength: 64 }],
      Routes: [
        route('0.0.0.0/0', '10.0.0.1'),
        route('::/0', 'FD00::1', 20),
        route('10.5.0.0/16'),
        route('10.6.0.0/16', '0.0.0.0', 1),
      ],
    });
    expect(texts(config)).toEqual({
      addresses: ['10.0.0.2/24', 'fd00::2/64'],
      routes: [
        'default4 10.0.0.1 0/500',
        'default6 fd00::1 20/20',
        '10.5.0.0/16 link 0/500',
        '10.6.0.0/16 link 1/1',
      ],
    });
  });

  test('single addresses and gateways of older hosts', () => {
    const config = parse({
      ...v4,
      GatewayAddress: '10.0.0.1',
      IPv6Address: 'fd00::2',
      IPv6PrefixLength: 64,
      IPv6GatewayAddress: 'fd00::1',
    });
    expect(texts(config)).toEqual({
      addresses: ['10.0.0.2/24', 'fd00::2/64'],
      routes: ['default4 10.0.0.1 1/500', 'default6 fd00::1 1/500'],
    });
  });

  test('a default route to nowhere means that there is none', () => {
    const Routes = [route('0.0.0.0/0', '0.0.0.0')];
    expect(parse({ IPConfigs: [v4], Routes }).routes).toEqual([]);
    expect(parse({ ...v4, GatewayAddress: '0.0.0.0' }).routes).toEqual([]);
  });

  test.each([
    '02-15-5D-0A-0B-0C',
    '02:15:5d:0a:0b:0c',
    '02155D0A0B0C',
  ])('the hardware address %s', (MacAddress) => {
    expect(parse({ MacAddress }).mac).toEqual(Uint8Array.of(2, 0x15, 0x5d, 10, 11, 12));
  });

  test('ids in any case, search domains and servers with commas and spaces', () => {
    expect(parseNamespaceId('ABC-def')).toBe('abc-def');
    const config = parse({
      ID: 'ABCD',
      DNSSuffix: ' One.example,, two.example ',
      DNSServerList: '10.0.0.53, FE80::1%eth0',
    });
    expect(config).toMatchObject({
      id: 'abcd',
      searches: ['one.example', 'two.example'],
      servers: ['10.0.0.53', 'fe80::1%eth0'],
    });
  });
});

describe('what is refused by the name of its field', () => {
  const many = <T>(count: number, item: (index: number) => T): T[] =>
    Array.from({ length: count }, (_, index) => item(index));
  const cases: [string, Partial<AdapterSettings>][] = [
    ['ID', { ID: '' }],
    ['ID', { ID: '..' }],
    ['ID', { ID: '../../../etc' }],
    ['ID', { ID: 'a/b' }],
    ['ID', { ID: 'a\0b' }],
    ['ID', { ID: 'x'.repeat(networkLimits.idCharacters + 1) }],
    ['MacAddress', { MacAddress: '02-15' }],
    ['MacAddress', { MacAddress: '02:15-5d:0a:0b:0c' }],
    ['MacAddress', { MacAddress: '02:15:5d:0a:0b:0c:0d' }],
    ['IPConfigs[0].IPAddress', { IPConfigs: [{ IPAddress: '10.0.0.2/24', PrefixLength: 24 }] }],
    ['IPConfigs[0].IPAddress', { IPConfigs: [{ IPAddress: '', PrefixLength: 24 }] }],
    ['IPConfigs[0].IPAddress', { IPConfigs: [{ IPAddress: '0.0.0.0', PrefixLength: 24 }] }],
    ['IPConfigs[0].IPAddress', { IPConfigs: [{ IPAddress: '224.0.0.1', PrefixLength: 24 }] }],
    ['IPConfigs[0].PrefixLength', { IPConfigs: [{ IPAddress: '10.0.0.2', PrefixLength: 33 }] }],
    ['IPConfigs[0].PrefixLength', { IPConfigs: [{ IPAddress: '10.0.0.2', PrefixLength: 0 }] }],
    ['IPConfigs[0].PrefixLength', { IPConfigs: [{ IPAddress: 'fd00::1', PrefixLength: 129 }] }],
    ['IPConfigs[1].IPAddress', { IPConfigs: [v4, { ...v4, PrefixLength: 16 }] }],
    [
      'IPConfigs',
      {
        IPConfigs: many(5000, (i) => ({
          IPAddress: `10.1.${i >> 8}.${i & 255}`,
          PrefixLength: 32,
        })),
      },
    ],
    ['IPAddress', { IPAddress: '10.0.0.2\n', PrefixLength: 24 }],
    ['PrefixLength', { IPAddress: '10.0.0.2', PrefixLength: 99 }],
    ['GatewayAddress', { ...v4, GatewayAddress: 'gateway' }],
    ['GatewayAddress', { ...v4, GatewayAddress: 'fd00::1' }],
    ['IPv6GatewayAddress', { ...v4, IPv6GatewayAddress: '10.0.0.1' }],
    ['Routes[0].DestinationPrefix', { IPConfigs: [v4], Routes: [route('10.0.0.0', '10.0.0.1')] }],
    ['Routes[0].DestinationPrefix', { IPConfigs: [v4], Routes: [route('10.0.0.0/33')] }],
    ['Routes[0].DestinationPrefix', { IPConfigs: [v4], Routes: [route('10.0.0.0/8/8')] }],
    ['Routes[0].DestinationPrefix', { IPConfigs: [v4], Routes: [route('10.0.0.1/8')] }],
    ['Routes[0].DestinationPrefix', { IPConfigs: [v4], Routes: [route('')] }],
    ['Routes[0].NextHop', { IPConfigs: [v4], Routes: [route('0.0.0.0/0')] }],
    ['Routes[0].NextHop', { IPConfigs: [v4], Routes: [route('0.0.0.0/0', 'x'.repeat(100_000))] }],
    ['Routes[0].NextHop', { IPConfigs: [v4], Routes: [route('10.0.0.0/8', 'fd00::1')] }],
    ['Routes', { IPConfigs: [v4], Routes: many(5000, (i) => route(`10.${i & 255}.0.0/16`)) }],
    ['Routes', { IPConfigs: [v4], Routes: [route('fd00::/64')] }],
    ['DNSSuffix', { DNSSuffix: 'a.example\nnameserver 10.6.6.6' }],
    ['DNSSuffix', { DNSSuffix: 'a.example b.example' }],
    ['DNSSuffix', { DNSSuffix: many(1000, (i) => `d${i}`).join(',') }],
    ['DNSServerList', { DNSServerList: '10.0.0.53\noptions rotate' }],
    ['DNSServerList', { DNSServerList: 'dns.example' }],
    ['DNSServerList', { DNSServerList: 'fe80::1%a b' }],
  ];
  test.each(cases)('%s', (field, settings) => {
    let error: unknown;
    try {
      parse(settings);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(AgentError);
    const path = `Request.Settings.${field}`;
    expect(error).toMatchObject({ code: 'invalid-argument', field: path });
    const { message } = error as AgentError;
    expect(message.startsWith(`${path}: `)).toBe(true);
    expect(message.length).toBeLessThan(300);
  });

  test.each(['', 'a/b', '.', 'a b', 'a\n'])('namespaces and adapters called %j', (id) => {
    expect(() => parseNamespaceId(id)).toThrow('Request.Settings.NamespaceID');
    expect(() => parseAdapterId(id)).toThrow('Request.Settings.ID');
  });
});
