import { once } from 'node:events';
import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { type Descriptor, guestAddress, NEXT } from '../../../../test/support/virtio-driver.ts';
import { type Guest, OP } from '../../../../test/support/virtio-guest.ts';
import { DeviceLab, pattern, readAll } from '../../../../test/support/vsock-device-lab.ts';

/** An offset in the memory that no ring and no buffer of the driver uses. */
const SPARE = 0x70_0000;

/** A round trip through the device: all that was sent before has been looked at. */
async function settled(guest: Guest): Promise<void> {
  const connection = guest.dial(1);
  await connection.until(() => connection.reset);
}

async function stillWorks(lab: DeviceLab, guest: Guest): Promise<void> {
  const connection = await guest.connect(900);
  await connection.write(Buffer.from('fine'));
  await connection.until(() => connection.data.toString() === 'fine');
  expect(lab.disconnects).toBe(0);
}

function transmit(guest: Guest, ...descriptors: Descriptor[]): void {
  const { tx } = guest.machine;
  for (const [index, descriptor] of descriptors.entries()) tx.describe(index, descriptor);
  tx.offer(0);
  tx.notify(true);
}

const plain = { address: guestAddress(SPARE), length: 44, flags: 0, next: 0 };

const ringFaults: [string, string, (guest: Guest) => void][] = [
  [
    'a loop of descriptors',
    'loop',
    (guest) =>
      transmit(guest, { ...plain, flags: NEXT, next: 1 }, { ...plain, flags: NEXT, next: 0 }),
  ],
  [
    'a descriptor that follows itself',
    'loop',
    (guest) => transmit(guest, { ...plain, flags: NEXT }),
  ],
  [
    'a next descriptor outside the table',
    'descriptor 128',
    (guest) => transmit(guest, { ...plain, flags: NEXT, next: 128 }),
  ],
  [
    'a first descriptor outside the table',
    'descriptor 65535',
    (guest) => {
      guest.machine.tx.offer(0xffff);
      guest.machine.tx.notify(true);
    },
  ],
  [
    'an address outside memory',
    'not guest memory',
    (guest) => transmit(guest, { ...plain, address: 0 }),
  ],
  [
    'the highest address there is',
    'not guest memory',
    (guest) => transmit(guest, { ...plain, address: 2 ** 64 - 2048 }),
  ],
  [
    'a length beyond memory',
    'not guest memory',
    (guest) => transmit(guest, { ...plain, length: 0xffff_ffff }),
  ],
  [
    'a buffer that begins in memory and ends outside',
    'not guest memory',
    (guest) => transmit(guest, { ...plain, address: guestAddress(8 * 1024 * 1024 - 1) }),
  ],
  [
    'an indirect descriptor, which was not negotiated',
    'not negotiated',
    (guest) => transmit(guest, { ...plain, flags: 4 }),
  ],
  [
    'an index that runs ahead of the ring',
    'in a queue of 128',
    (guest) => {
      guest.machine.tx.publish(guest.machine.tx.available + 129);
      guest.machine.tx.notify(true);
    },
  ],
  [
    'an index that runs backwards',
    'in a queue of 128',
    (guest) => {
      guest.machine.tx.publish(guest.machine.tx.available - 1);
      guest.machine.tx.notify(true);
    },
  ],
  [
    'a receive buffer outside memory',
    'not guest memory',
    (guest) => {
      for (let index = 0; index < 128; index++)
        guest.machine.rx.describe(index, { address: 16, length: 4096, flags: 2, next: 0 });
      guest.machine.send({ srcPort: 1, dstPort: 1, op: OP.update });
    },
  ],
];

it.each(ringFaults)('stands still until a reset after %s', async (_name, message, break_) => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const guest = await lab.boot();
  guest.listen(5000, () => {});
  const socket = await lab.dial(5000);
  break_(guest);
  const { fields, level } = await lab.logged('the guest broke the device');
  expect(level).toBe('error');
  expect(fields.error).toMatchObject({ name: 'DeviceError', code: 'ring' });
  expect(String(fields.error)).toContain(message);
  // Hosts see the end, and nobody else gets in.
  expect((await readAll(socket)).length).toBe(0);
  await expect(lab.dial(5000)).rejects.toThrow();
  await guest.machine.stopDriver();
  await guest.machine.startDriver();
  await stillWorks(lab, guest);
});

it.each([
  ['of another guest', { srcCid: 43n }],
  ['with a CID whose lower half is right', { srcCid: (1n << 32n) | 42n }],
  ['for another machine', { dstCid: 3n }],
])('ignores packets %s', async (_name, cids) => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const guest = await lab.boot();
  guest.machine.send({ ...cids, srcPort: 7, dstPort: 900, op: OP.request });
  await lab.logged('wrong CIDs');
  await settled(guest);
  expect(guest.stray).toEqual([]);
  await stillWorks(lab, guest);
});

it('refuses packets that are not of a stream, with a reset of the same type', async () => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const guest = await lab.boot();
  guest.machine.send({ srcPort: 7, dstPort: 900, op: OP.request, type: 2 });
  guest.machine.send({ srcPort: 8, dstPort: 900, op: OP.rst, type: 2 });
  await settled(guest);
  expect(guest.stray).toMatchObject([{ op: OP.rst, type: 2, dstPort: 7 }]);
  await stillWorks(lab, guest);
});

it('ignores a packet that is shorter than a header', async () => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const guest = await lab.boot();
  transmit(guest, { ...plain, length: 43 });
  await lab.logged('shorter than a header');
  await guest.machine.stopDriver();
  await guest.machine.startDriver();
  await stillWorks(lab, guest);
});

it('takes a header that is scattered over many descriptors', async () => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const guest = await lab.boot();
  guest.machine.writeHeader(SPARE, { srcPort: 7, dstPort: 901, op: OP.request });
  const descriptors = Array.from({ length: 11 }, (_, index) => ({
    address: guestAddress(SPARE + 4 * index),
    length: 4,
    flags: index < 10 ? NEXT : 0,
    next: index + 1,
  }));
  transmit(guest, ...descriptors);
  await guest.until(() => guest.stray.length > 0);
  expect(guest.stray).toMatchObject([{ op: OP.rst, dstPort: 7, srcPort: 901 }]);
});

const violations: [string, string, number, object][] = [
  ['claims more data than it sends', 'less data', OP.rw, { len: 4096, data: Buffer.from('ab') }],
  ['claims 4 GiB', 'less data', OP.rw, { len: 0xffff_ffff, data: Buffer.from('ab') }],
  ['sends an unknown operation', 'unknown operation', 99, {}],
  ['sends operation 0', 'unknown operation', 0, {}],
  ['answers what nobody asked', 'nobody asked', OP.response, {}],
  ['asks a second time', 'second request', OP.request, {}],
];

it.each(
  violations,
)('resets the connection of a guest that %s', async (_name, message, op, more) => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const guest = await lab.boot();
  const connection = await guest.connect(900);
  connection.packet(op, more);
  await connection.until(() => connection.reset);
  expect(lab.log.some((entry) => entry.message.includes(message))).toBe(true);
  await stillWorks(lab, guest);
});

it('resets a connection that sends data after its end', async () => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const guest = await lab.boot();
  const connection = await guest.connect(900);
  connection.shutdown(2);
  connection.packet(OP.rw, { data: Buffer.from('late') });
  await connection.until(() => connection.reset);
  expect(lab.log.some(({ message }) => message.includes('after the end'))).toBe(true);
});

it('never answers a reset with a reset, but every other packet of no connection', async () => {
  await using lab = new DeviceLab();
  const guest = await lab.boot();
  for (const op of [OP.rst, OP.rw, OP.shutdown, OP.update, OP.ask, OP.response])
    guest.machine.send({ srcPort: op, dstPort: 900, op });
  await settled(guest);
  expect(guest.stray.map(({ dstPort, op }) => [dstPort, op])).toEqual(
    [OP.rw, OP.shutdown, OP.update, OP.ask, OP.response].map((port) => [port, OP.rst]),
  );
});

it('holds no more for a host that does not read than it has offered', async () => {
  await using lab = new DeviceLab({ limits: { bufferBytes: 65_536 } });
  const sockets: Socket[] = [];
  await lab.serve(900, (socket) => void sockets.push(socket.pause()));
  const guest = await lab.boot();
  const connection = await guest.connect(900);
  // Beyond its credit: what the kernel takes is followed by 64 KiB of ours, and that is all.
  const data = pattern(16_384);
  for (let count = 0; count < 100 && !connection.reset; count++) {
    connection.packet(OP.rw, { data });
    await settled(guest);
    expect(lab.device.figures.bufferedBytes).toBeLessThanOrEqual(65_536 + 16_384);
  }
  expect(connection.reset).toBe(true);
  await lab.logged('more data than it was allowed');
  // What was taken is still delivered.
  const received = await readAll(sockets[0] as Socket);
  expect(received.length % data.length).toBe(0);
  expect(received.length).toBeGreaterThan(0);
  await expect.poll(() => lab.device.figures).toMatchObject({ draining: 0, bufferedBytes: 0 });
});

it('bounds what it holds for all connections together', async () => {
  await using lab = new DeviceLab({ limits: { totalBufferBytes: 200_000 } });
  const sockets: Socket[] = [];
  await lab.serve(900, (socket) => void sockets.push(socket.pause()));
  await lab.echo(901);
  const guest = await lab.boot();
  const data = pattern(65_536);
  for (let round = 0; round < 40; round++) {
    const connection = await guest.connect(900);
    for (let count = 0; count < 4; count++) connection.packet(OP.rw, { data });
    await settled(guest);
    expect(lab.device.figures.bufferedBytes).toBeLessThanOrEqual(200_000);
    if (connection.reset) break;
  }
  await lab.logged('no memory is left');
  const other = await guest.connect(901);
  await other.write(Buffer.from('x'));
  await other.until(() => other.receivedBytes === 1);
});

it('reads nothing from a host for a guest that gives no credit', async () => {
  await using lab = new DeviceLab();
  const guest = await lab.boot();
  guest.listen(5000, (connection) => {
    connection.reading = false;
  });
  const socket = await lab.dial(5000);
  let refused = false;
  for (let count = 0; count < 1_000 && !refused; count++) refused = !socket.write(pattern(65_536));
  expect(refused).toBe(true);
  await settled(guest);
  expect(lab.device.figures.bufferedBytes).toBe(0);
  socket.destroy();
});

it('believes nonsense about credit only to the harm of the connection itself', async () => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const guest = await lab.boot();
  const connection = await guest.connect(900);
  connection.packet(OP.update, { bufAlloc: 0xffff_ffff, fwdCnt: 0x7fff_ffff });
  connection.packet(OP.update, { bufAlloc: 0, fwdCnt: 0xffff_ffff });
  connection.packet(OP.rw, { data: Buffer.from('later'), bufAlloc: 0 });
  await stillWorks(lab, guest);
  // Asked how much room there is, the driver talks sense again.
  await connection.until(() => connection.data.toString() === 'later');
});

it('bounds connections, those under way included', async () => {
  await using lab = new DeviceLab({ limits: { connections: 4 } });
  await lab.serve(900, () => {});
  const guest = await lab.boot();
  const connections = Array.from({ length: 50 }, () => guest.dial(900));
  await Promise.all(connections.map((each) => each.until(() => each.established || each.reset)));
  expect(connections.filter(({ established }) => established)).toHaveLength(4);
  await expect(lab.dial(5000)).rejects.toThrow();
  connections.find(({ established }) => established)?.packet(OP.rst);
  await expect.poll(() => lab.device.figures.connections).toBe(3);
  await guest.connect(900);
});

it('bounds resets for a guest that gives no receive buffers', async () => {
  await using lab = new DeviceLab({ limits: { pendingResets: 16 } });
  await lab.echo(900);
  const guest = await lab.boot();
  await guest.machine.stopDriver();
  await guest.machine.startDriver({ receiveBuffers: false });
  for (let port = 0; port < 500; port++)
    guest.machine.send({ srcPort: port, dstPort: 5, op: OP.rw, data: Buffer.from('x') });
  await lab.logged('resets dropped');
  expect(lab.device.figures.pendingResets).toBe(16);
  guest.machine.giveReceiveBuffers();
  await guest.until(() => guest.stray.length >= 16);
  await stillWorks(lab, guest);
});

it('gives back receive buffers that hold no packet, and goes on', async () => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const guest = await lab.boot();
  await guest.machine.stopDriver();
  await guest.machine.startDriver({ receiveBuffers: false });
  const short = { address: guestAddress(SPARE), length: 44, flags: 2, next: 0 };
  guest.machine.rx.describe(127, short);
  for (let count = 0; count < 3; count++) guest.machine.rx.offer(127);
  guest.machine.send({ srcPort: 1, dstPort: 1, op: OP.update });
  await lab.logged('without room for a packet');
  guest.machine.giveReceiveBuffers();
  await stillWorks(lab, guest);
});

it('writes few lines about a guest that does the same thing a thousand times', async () => {
  await using lab = new DeviceLab();
  const guest = await lab.boot();
  for (let count = 0; count < 1_000; count++)
    guest.machine.send({ srcCid: 1n, srcPort: 1, dstPort: 1, op: OP.update });
  await settled(guest);
  const lines = lab.log.filter(({ message }) => message.includes('wrong CIDs'));
  expect(lines.map(({ fields }) => fields.count)).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
});

it('serves hosts while the guest keeps its ring full', async () => {
  await using lab = new DeviceLab();
  const guest = await lab.boot();
  guest.listen(5000, (connection) => void connection.write(Buffer.from('served')));
  let flooding = true;
  const flood = (): void => {
    for (let count = 0; count < 64; count++)
      guest.machine.send({ srcCid: 1n, srcPort: 1, dstPort: 1, op: OP.update });
    if (flooding) setImmediate(flood);
  };
  flood();
  const socket = await lab.dial(5000);
  expect(String((await once(socket, 'data'))[0])).toBe('served');
  flooding = false;
});
