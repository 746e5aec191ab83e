import { expect, test } from 'vitest';
import { networkReady } from './conditions.ts';
import { parseNetworkCounters } from './stats.ts';

const dev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
  eth0: 18446744073709551615      22    3    4    5     6          7         8     1111     222   33   44   55    66      77         88
eth0.5:1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
`;

test('interfaces but lo are read, 64-bit figures exactly', () => {
  expect(parseNetworkCounters(dev)).toEqual([
    {
      name: 'eth0',
      rxBytes: 18446744073709551615n,
      rxPackets: 22n,
      rxErrors: 3n,
      rxDropped: 4n,
      txBytes: 1111n,
      txPackets: 222n,
      txErrors: 33n,
      txDropped: 44n,
    },
    expect.objectContaining({ name: 'eth0.5', rxBytes: 1n, txBytes: 9n, txDropped: 12n }),
  ]);
});

test('the network is ready when lo is up', () => {
  const lo = { address: '127.0.0.1', netmask: '255.0.0.0', family: 'IPv4', mac: '', cidr: null };
  expect(networkReady({ lo: [{ ...lo, family: 'IPv4', internal: true }] })).toEqual({
    type: 'NetworkReady',
    status: true,
  });
  expect(networkReady({})).toMatchObject({ status: false, reason: 'LoopbackDown' });
});
