import { readlinkSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { PrivateNetwork } from '../../test/support/private-network.ts';
import { openNetworkNamespace, RouteSocket, socketIn } from './netlink.ts';
import { attributesOf, frame, MessageWriter, messagesOf, textOf } from './netlink-message.ts';

// Namespaces and their programs are slow to make on a busy machine.
vi.setConfig({ testTimeout: 60_000 });

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const IFLA_IFNAME = 3;
const header = new Uint8Array(16);

const namesIn = (socket: RouteSocket): string[] =>
  socket
    .dump('list links', RTM_GETLINK, header)
    .map(({ body }) => textOf(attributesOf(body, 16).get(IFLA_IFNAME) ?? new Uint8Array()))
    .sort();

test('a socket speaks to the namespace it was made in, and no thread of ours has left its own', async () => {
  await using network = await PrivateNetwork.make();
  network.ip('link', 'add', 'a0', 'type', 'veth', 'peer', 'name', 'b0');
  const before = readlinkSync('/proc/thread-self/ns/net');
  using socket = new RouteSocket(network.namespace);
  expect(namesIn(socket).filter((name) => /^(a0|b0|lo)$/.test(name))).toEqual(['a0', 'b0', 'lo']);
  expect(readlinkSync('/proc/thread-self/ns/net')).toBe(before);
  using own = new RouteSocket();
  expect(namesIn(own)).not.toContain('a0');
});

test('a list of more links than a datagram holds is complete', async () => {
  await using network = await PrivateNetwork.make();
  for (let index = 0; index < 60; index++) {
    network.ip('link', 'add', `v${index}`, 'type', 'veth', 'peer', 'name', `w${index}`);
  }
  using socket = new RouteSocket(network.namespace);
  expect(namesIn(socket).filter((name) => /^[vw]\d+$/.test(name))).toHaveLength(120);
});

test('a refusal carries the errno and what was asked', async () => {
  await using network = await PrivateNetwork.make();
  using socket = new RouteSocket(network.namespace);
  const unknown = new MessageWriter().u8(0, 0).u16(0).u32(12345).u32(0).u32(0).bytes;
  expect(() => socket.request('set link 12345', RTM_NEWLINK, 0, unknown)).toThrow(
    expect.objectContaining({ code: 'ENODEV', syscall: 'set link 12345' }),
  );
  expect(socket.query('get link 12345', RTM_GETLINK, unknown)).toBeUndefined();
});

test('what is no network namespace is refused', () => {
  using own = openNetworkNamespace('self');
  expect(() => openNetworkNamespace(0x3fffffff)).toThrow(
    expect.objectContaining({ code: 'ENOENT' }),
  );
  using socket = socketIn(own, 1, 1, 0);
  expect(() => socketIn(socket, 1, 1, 0)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
});

test('a message survives its frame, and attributes of every length their alignment', () => {
  const writer = new MessageWriter().u8(1, 2, 3, 4);
  for (let length = 0; length < 300; length++) {
    writer.attribute(length + 1, new Uint8Array(length).fill(length & 0xff));
  }
  const [message, ...more] = [...messagesOf(frame(20, 5, 77, writer.bytes))];
  expect(more).toEqual([]);
  expect(message).toMatchObject({ type: 20, flags: 5, sequence: 77 });
  const attributes = attributesOf(message?.body ?? new Uint8Array(), 4);
  expect(attributes.size).toBe(300);
  for (const [type, value] of attributes) {
    expect(value).toEqual(new Uint8Array(type - 1).fill((type - 1) & 0xff));
  }
});

test('a message or attribute that claims more than there is ends the reading', () => {
  const message = frame(20, 0, 1, new MessageWriter().u32(0).attributeU32(7, 7).bytes);
  expect([...messagesOf(message.subarray(0, message.length - 1))]).toEqual([]);
  expect([...messagesOf(new Uint8Array(64))]).toEqual([]);
  const body = new MessageWriter().u32(0).u16(200).u16(7).u32(0).bytes;
  expect(attributesOf(body, 4).size).toBe(0);
});
