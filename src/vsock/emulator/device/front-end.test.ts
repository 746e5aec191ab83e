import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { FrontEnd, u32, u64 } from '../../../../test/support/vhost-front-end.ts';
import { DeviceLab } from '../../../../test/support/vsock-device-lab.ts';
import { eventFd } from '../../../os/bytes.ts';
import { memoryFile } from '../../../os/shared-memory.ts';

const PAGE = 4096n;

function table(...regions: bigint[][]): Buffer {
  return Buffer.concat([u32(regions.length, 0), ...regions.map((region) => u64(...region))]);
}

/** Guest address, size, user address, offset in the file. */
const region = (size = 16n * PAGE, offset = 0n): bigint[] => [0n, size, 0x1000_0000n, offset];

it('answers what QEMU asks while it makes the device', async () => {
  await using lab = new DeviceLab();
  using front = await FrontEnd.connect(lab.socket);
  expect((await front.ask(1)).readBigUInt64LE()).toBe((1n << 32n) | (1n << 30n));
  expect((await front.ask(15)).readBigUInt64LE()).toBe(0b10_0000_1001n);
  expect((await front.ask(17)).readBigUInt64LE()).toBe(2n);
  const config = await front.ask(24, Buffer.concat([u32(0, 8, 0), u64(0n)]));
  expect(config.readBigUInt64LE(12)).toBe(42n);
});

it('says that there is no such configuration with an empty answer', async () => {
  await using lab = new DeviceLab();
  using front = await FrontEnd.connect(lab.socket);
  expect(await front.ask(24, Buffer.concat([u32(4, 8, 0), u64(0n)]))).toHaveLength(0);
  expect(await front.ask(24, Buffer.concat([u32(0, 0xffff_ffff, 0), u64(0n)]))).toHaveLength(0);
});

it('takes a message that comes byte by byte, with two behind it in one piece', async () => {
  await using lab = new DeviceLab();
  using front = await FrontEnd.connect(lab.socket);
  const header = (request: number) => u32(request, 1, 0);
  for (const byte of header(1)) front.sendBytes(Uint8Array.of(byte));
  expect((await front.answer(1)).length).toBe(8);
  front.sendBytes(Buffer.concat([header(3), header(17)]));
  expect((await front.answer(17)).readBigUInt64LE()).toBe(2n);
});

type Attack = (front: FrontEnd) => void;

const attacks: [string, string, Attack][] = [
  ['a request nobody knows', 'unknown vhost-user request 77', (front) => front.send(77)],
  ['another version', 'version 2', (front) => front.send(1, undefined, [], 2)],
  ['a payload of 4 GiB', '4294967295 bytes', (front) => front.sendBytes(u32(1, 1, 0xffff_ffff))],
  ['a payload that is too short', 'too short', (front) => front.send(2, u32(1))],
  ['features that were not offered', 'not offered', (front) => front.send(2, u64(1n << 28n))],
  ['a ring that is not there', 'no ring 2', (front) => front.send(8, u32(2, 128))],
  ['a ring size of 0', 'ring of 0', (front) => front.send(8, u32(0, 0))],
  ['a ring size of 100', 'ring of 100', (front) => front.send(8, u32(0, 100))],
  ['a huge ring', 'ring of 32768', (front) => front.send(8, u32(0, 32768))],
  ['nine memory regions', '9 memory regions', (front) => front.send(5, u32(9, 0))],
  ['a region without a descriptor', '0 descriptors', (front) => front.send(5, table(region()))],
  ['a kick without a descriptor', 'without kicks', (front) => front.send(12, u64(0x100n))],
  [
    'a region longer than its file',
    'EINVAL',
    (front) => withMemory((fd) => front.send(5, table(region(17n * PAGE)), [fd])),
  ],
  [
    'a region behind the end of its file',
    'EINVAL',
    (front) => withMemory((fd) => front.send(5, table(region(PAGE, 16n * PAGE)), [fd])),
  ],
  [
    'a region of 2^63 bytes',
    'memory region',
    (front) => withMemory((fd) => front.send(5, table(region(1n << 63n)), [fd])),
  ],
  [
    'a region at an odd offset',
    'memory region',
    (front) => withMemory((fd) => front.send(5, table(region(PAGE, 8n)), [fd])),
  ],
  [
    'a region that is no memory file',
    'EINVAL',
    (front) => {
      using fd = eventFd();
      front.send(5, table(region()), [fd]);
    },
  ],
  [
    'a ring outside memory',
    'no place for a ring',
    (front) =>
      withMemory((fd) => {
        front.send(5, table(region()), [fd]);
        front.send(8, u32(0, 128));
        front.send(9, Buffer.concat([u32(0, 0), u64(0x2000_0000n, 0n, 0n, 0n)]));
        kick(front);
      }),
  ],
  [
    'a ring that ends outside memory',
    'no place for a ring',
    (front) =>
      withMemory((fd) => {
        const user = 0x1000_0000n;
        front.send(5, table(region()), [fd]);
        front.send(8, u32(0, 128));
        front.send(9, Buffer.concat([u32(0, 0), u64(user, user + 16n * PAGE - 4n, user, 0n)]));
        kick(front);
      }),
  ],
  ['a ring that was never placed', 'without a size', (front) => kick(front)],
];

function withMemory(use: (fd: ReturnType<typeof memoryFile>) => void): void {
  using fd = memoryFile(Number(16n * PAGE));
  use(fd);
}

function kick(front: FrontEnd): void {
  using fd = eventFd();
  front.send(12, u64(0n), [fd]);
}

it.each(attacks)('ends the session over %s, and only that', async (_name, message, attack) => {
  await using lab = new DeviceLab();
  const before = readdirSync('/proc/self/fd').length;
  {
    using front = await FrontEnd.connect(lab.socket);
    await front.ask(1);
    attack(front);
    await lab.disconnected(1);
    const { fields } = await lab.logged(message);
    expect(fields.error).toMatchObject({ name: 'DeviceError', code: 'protocol' });
  }
  expect(readdirSync('/proc/self/fd').length).toBe(before);
  const guest = await lab.boot();
  expect(guest.machine.cid).toBe(42);
});

it('ends the session of a front-end that leaves within a message', async () => {
  await using lab = new DeviceLab();
  const front = await FrontEnd.connect(lab.socket);
  front.sendBytes(u32(1, 1));
  front[Symbol.dispose]();
  await lab.disconnected(1);
  await lab.logged('in the middle of a message');
});

it('gives the memory of a guest back when its hypervisor leaves', async () => {
  const maps = (): number =>
    readFileSync('/proc/self/maps', 'utf8').match(/memfd:gcs/g)?.length ?? 0;
  await using lab = new DeviceLab();
  const before = maps();
  const guest = await lab.boot();
  expect(maps()).toBeGreaterThan(before);
  guest.machine[Symbol.dispose]();
  await lab.disconnected(1);
  expect(maps()).toBe(before);
});
