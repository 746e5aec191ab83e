import fc from 'fast-check';
import { expect, it } from 'vitest';
import { guestAddress, type Packet } from '../../../../test/support/virtio-driver.ts';
import { DeviceLab } from '../../../../test/support/vsock-device-lab.ts';

const port = fc.constantFrom(0, 1, 7, 900, 901, 0xffff_ffff);
const word = fc.oneof(fc.constantFrom(0, 1, 44, 4096, 65_536, 0xffff_ffff), fc.nat());
const mostly = <T>(value: T, other: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 9, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: other });

const packet: fc.Arbitrary<Packet> = fc.record(
  {
    srcCid: mostly(42n, fc.bigInt(0n, 2n ** 64n - 1n)),
    dstCid: mostly(2n, fc.bigInt(0n, 2n ** 64n - 1n)),
    srcPort: port,
    dstPort: port,
    type: mostly(1, fc.nat(0xffff)),
    op: fc.oneof(fc.integer({ min: 0, max: 8 }), fc.nat(0xffff)),
    flags: word,
    bufAlloc: word,
    fwdCnt: word,
    len: fc.nat(70_000),
    data: fc.uint8Array({ maxLength: 2_000 }),
  },
  { requiredKeys: ['srcPort', 'dstPort', 'op', 'srcCid', 'dstCid', 'type'] },
);

it('survives any packets, and serves the next driver', async () => {
  await using lab = new DeviceLab({ limits: { connections: 16, pendingResets: 64 } });
  await lab.echo(900);
  const guest = await lab.boot();
  await fc.assert(
    fc.asyncProperty(fc.array(packet, { maxLength: 200 }), async (packets) => {
      for (const each of packets) guest.machine.send(each);
      const probe = guest.dial(902);
      await probe.until(() => probe.reset);
      const { connections, draining, pendingResets, bufferedBytes } = lab.device.figures;
      expect(connections + draining).toBeLessThanOrEqual(16);
      expect(pendingResets).toBeLessThanOrEqual(64);
      expect(bufferedBytes).toBeLessThanOrEqual(16 * (262_144 + 16_384));
    }),
    { numRuns: 50 },
  );
  await guest.machine.stopDriver();
  await guest.machine.startDriver();
  const connection = await guest.connect(900);
  await connection.write(Buffer.from('fine'));
  await connection.until(() => connection.data.toString() === 'fine');
}, 30_000);

const descriptor = fc.record({
  address: fc.oneof(
    fc.nat(0x80_0000).map(guestAddress),
    fc.constantFrom(0, 0xffff_ffff, 2 ** 52, guestAddress(0)),
  ),
  length: fc.oneof(fc.nat(4096), word),
  flags: fc.oneof(fc.nat(3), fc.nat(0xffff)),
  next: fc.oneof(fc.nat(127), fc.nat(0xffff)),
});

it('survives any contents of the rings, and serves the next driver', async () => {
  await using lab = new DeviceLab();
  await lab.echo(900);
  const guest = await lab.boot();
  const { machine } = guest;
  machine.onPacket = () => {};
  await fc.assert(
    fc.asyncProperty(
      fc.array(descriptor, { minLength: 1, maxLength: 128 }),
      fc.array(fc.nat(140), { maxLength: 64 }),
      fc.oneof(fc.nat(128), fc.nat(0xffff)),
      async (descriptors, heads, ahead) => {
        await machine.stopDriver();
        await machine.startDriver({ receiveBuffers: false });
        for (const ring of [machine.tx, machine.rx]) {
          for (const [index, each] of descriptors.entries()) ring.describe(index, each);
          for (const head of heads) ring.offer(head);
          ring.publish(ring.available + (ahead > 200 ? ahead : 0));
          ring.notify(true);
        }
        // The kicks were signalled before this request: both are seen in one turn of the loop.
        await machine.front.ask(17);
      },
    ),
    { numRuns: 100 },
  );
  await lab.logged('the guest broke the device');
  // What was written over is memory of the machine: the next one has its own.
  machine[Symbol.dispose]();
  await lab.disconnected(1);
  const next = await lab.boot();
  const connection = await next.connect(900);
  await connection.write(Buffer.from('fine'));
  await connection.until(() => connection.data.toString() === 'fine');
}, 30_000);
