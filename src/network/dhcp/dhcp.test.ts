import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatAddress, formatPrefix } from '../address.ts';
import { type Lease, leaseOf } from './lease.ts';
import { DhcpOption, DhcpType, decodeMessage, encodeMessage, type Incoming } from './message.ts';
import { unwrap, wrap } from './packet.ts';

const mac = Uint8Array.of(2, 0x15, 0x5d, 1, 2, 3);
const transaction = 0xdead_beef;
const v4 = (text: string): number[] => text.split('.').map(Number);

/** A server's answer, byte by byte as RFC 2131 draws it. */
function reply(options: [number, number[]][], change: (bytes: Buffer) => void = () => {}): Buffer {
  const bytes = Buffer.alloc(240);
  bytes.set([2, 1, 6, 0]);
  bytes.writeUInt32BE(transaction, 4);
  bytes.set(v4('10.0.0.20'), 16);
  bytes.set(mac, 28);
  bytes.writeUInt32BE(0x63825363, 236);
  change(bytes);
  const list = options.flatMap(([code, value]) => [code, value.length, ...value]);
  return Buffer.concat([bytes, Uint8Array.from([...list, 255])]);
}

const good: [number, number[]][] = [
  [DhcpOption.type, [DhcpType.ack]],
  [DhcpOption.server, v4('10.0.0.1')],
  [DhcpOption.mask, v4('255.255.255.0')],
  [DhcpOption.leaseTime, [0, 0, 0x0e, 0x10]],
];
const read = (bytes: Uint8Array): Incoming | undefined =>
  decodeMessage(bytes, { transaction, mac });

function lease(options: [number, number[]][]): Lease | undefined {
  const message = read(reply(options));
  return message === undefined ? undefined : leaseOf(message, mac);
}
const leaseWith = (...more: [number, number[]][]): Lease | undefined => {
  const codes = new Set(more.map(([code]) => code));
  return lease([...good.filter(([code]) => !codes.has(code)), ...more]);
};

const routes = (granted: Lease | undefined): string[] | undefined =>
  granted?.routes.map(
    ({ destination, gateway }) =>
      `${destination === undefined ? 'default' : formatPrefix(destination)} ${gateway === undefined ? 'link' : formatAddress(gateway)}`,
  );

describe('a message', () => {
  test('holds what was asked, and is long enough for old relays', () => {
    const bytes = Buffer.from(
      encodeMessage({
        type: DhcpType.request,
        transaction,
        mac,
        requestedAddress: Uint8Array.from(v4('10.0.0.20')),
        server: Uint8Array.from(v4('10.0.0.1')),
      }),
    );
    expect(bytes.length).toBe(300);
    expect(bytes.subarray(0, 4)).toEqual(Buffer.from([1, 1, 6, 0]));
    expect(bytes.readUInt32BE(4)).toBe(transaction);
    expect(bytes.subarray(28, 34)).toEqual(Buffer.from(mac));
    expect(bytes.subarray(236, 243)).toEqual(Buffer.from([0x63, 0x82, 0x53, 0x63, 53, 1, 3]));
    expect(bytes.includes(Buffer.from([50, 4, 10, 0, 0, 20]))).toBe(true);
    expect(bytes.includes(Buffer.from([54, 4, 10, 0, 0, 1]))).toBe(true);
  });

  test.each<[string, (bytes: Buffer) => void]>([
    ['of another transaction', (b) => b.writeUInt32BE(1, 4)],
    ['for another client', (b) => b.set([1], 28)],
    ['of a client', (b) => b.set([1], 0)],
    ['of BOOTP', (b) => b.writeUInt32BE(0, 236)],
  ])('%s is not ours', (_name, change) => {
    expect(read(reply(good))).toBeDefined();
    expect(read(reply(good, change))).toBeUndefined();
  });

  test('continues in the fields for names when it says so, and long options come in parts', () => {
    const message = read(
      reply(
        [...good, [DhcpOption.overload, [3]], [DhcpOption.domain, [...Buffer.from('one.')]]],
        (b) => {
          b.set([DhcpOption.domain, 4, ...Buffer.from('two.'), 255], 108);
          b.set([DhcpOption.domain, 5, ...Buffer.from('three'), 255], 44);
        },
      ),
    );
    expect(Buffer.from(message?.options.get(DhcpOption.domain) ?? []).toString()).toBe(
      'one.two.three',
    );
  });

  test('of any bytes is refused or read, never an exception', () => {
    const tail = fc.uint8Array({ maxLength: 400 });
    fc.assert(
      fc.property(tail, (bytes) => {
        const message = read(
          Buffer.concat([reply([[DhcpOption.type, [5]]]).subarray(0, 243), bytes]),
        );
        if (message !== undefined) leaseOf(message, mac);
        read(bytes);
        unwrap(bytes);
      }),
    );
  });
});

describe('a packet', () => {
  const payload = Uint8Array.from({ length: 301 }, (_, index) => index & 0xff);
  const packet = () => {
    const bytes = Buffer.from(
      wrap(Uint8Array.from(v4('10.0.0.1')), new Uint8Array(4).fill(255), payload),
    );
    // Ours go from 68 to 67, those of a server the other way; sums do not depend on the order.
    bytes.writeUInt16BE(67, 20);
    bytes.writeUInt16BE(68, 22);
    return bytes;
  };

  test('carries its payload, also behind options and before padding', () => {
    expect(unwrap(packet())).toEqual(Buffer.from(payload));
    expect(unwrap(Buffer.concat([packet(), new Uint8Array(17)]))).toEqual(Buffer.from(payload));
  });

  test.each<[string, (bytes: Buffer) => void]>([
    ['with a broken header', (b) => b.writeUInt8(63, 8)],
    ['of IPv6', (b) => b.writeUInt8(0x65, 0)],
    ['that is longer than it is', (b) => b.writeUInt16BE(2000, 2)],
    ['whose datagram is longer than it is', (b) => b.writeUInt16BE(2000, 24)],
    ['to another port', (b) => b.writeUInt16BE(69, 22)],
  ])('%s is dropped', (_name, change) => {
    const bytes = packet();
    change(bytes);
    expect(unwrap(bytes)).toBeUndefined();
  });
});

describe('a lease', () => {
  test('has the times of the server, or those of the RFC', () => {
    expect(lease(good)).toMatchObject({ t1: 1800, t2: 3150, seconds: 3600 });
    expect(lease(good)?.address).toMatchObject({ prefixLength: 24, lifetimeSeconds: 3600 });
    expect(
      leaseWith([DhcpOption.t1, [0, 0, 0, 60]], [DhcpOption.t2, [255, 0, 0, 0]]),
    ).toMatchObject({
      t1: 60,
      t2: 3600,
    });
    const forever = leaseWith([DhcpOption.leaseTime, [255, 255, 255, 255]]);
    expect(forever?.seconds).toBe(Number.POSITIVE_INFINITY);
    expect(forever?.address).not.toHaveProperty('lifetimeSeconds');
  });

  test.each<[string, [number, number[]]]>([
    ['without a server', [DhcpOption.server, []]],
    ['without a mask', [DhcpOption.mask, []]],
    ['with a mask with holes', [DhcpOption.mask, v4('255.0.255.0')]],
    ['with a mask of nothing', [DhcpOption.mask, v4('0.0.0.0')]],
    ['without a time', [DhcpOption.leaseTime, []]],
    ['of no time', [DhcpOption.leaseTime, [0, 0, 0, 0]]],
  ])('%s is none', (_name, option) => {
    expect(leaseWith(option)).toBeUndefined();
  });

  test.each([
    '0.0.0.0',
    '255.255.255.255',
    '127.0.0.1',
    '224.0.0.5',
    '240.0.0.1',
  ])('of %s is none', (address) => {
    const message = read(reply(good, (b) => b.set(v4(address), 16)));
    expect(message && leaseOf(message, mac)).toBeUndefined();
  });

  test('has the first router, but classless routes come before it', () => {
    const router: [number, number[]] = [DhcpOption.router, [...v4('10.0.0.1'), ...v4('10.0.0.9')]];
    expect(routes(leaseWith(router))).toEqual(['default 10.0.0.1']);
    const classless = [
      0,
      ...v4('10.0.0.7'),
      16,
      10,
      77,
      ...v4('10.0.0.8'),
      25,
      10,
      1,
      2,
      128,
      0,
      0,
      0,
      0,
    ];
    expect(routes(leaseWith(router, [DhcpOption.routes, classless]))).toEqual([
      'default 10.0.0.7',
      '10.77.0.0/16 10.0.0.8',
      '10.1.2.128/25 link',
    ]);
  });

  test('leaves out routes that are cut, doubled, too long or lead nowhere', () => {
    const twice = [16, 10, 77, ...v4('10.0.0.8'), 16, 10, 77, ...v4('10.0.0.9')];
    expect(routes(leaseWith([DhcpOption.routes, twice]))).toEqual(['10.77.0.0/16 10.0.0.8']);
    expect(routes(leaseWith([DhcpOption.routes, [33, 1, 2, 3, 4, 5, 6, 7, 8, 9]]))).toEqual([]);
    expect(routes(leaseWith([DhcpOption.routes, [24, 10, 1, 2, 10, 0]]))).toEqual([]);
    expect(routes(leaseWith([DhcpOption.routes, [0, 0, 0, 0, 0]]))).toEqual([]);
    expect(routes(leaseWith([DhcpOption.routes, [8, 10, 224, 0, 0, 1]]))).toEqual([]);
  });

  test('has no name server or domain that is more than one word', () => {
    const domain = [...Buffer.from('good.example bad\nnameserver;x Also.Good\0')];
    const servers = [...v4('10.0.0.53'), ...v4('0.0.0.0'), 9];
    expect(leaseWith([DhcpOption.domain, domain], [DhcpOption.dns, servers])).toMatchObject({
      searches: ['good.example', 'also.good'],
      servers: ['10.0.0.53'],
    });
  });
});
