/**
 * Storage that only a guest can have: the device mapper, persistent memory, shares over vsock. Run in
 * the guest by test/vm/storage-faults.test.ts, which has plugged in what $GCS_TEST_STORAGE describes.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { machineDevices } from '../../../src/storage/devices/sysfs-resolver.ts';
import type { StorageResource } from '../../../src/storage/resource.ts';
import { VsockTransport } from '../../../src/vsock/vsock.ts';
import type { GuestStorage } from './guest-storage.ts';
import { type Disk, diskAt, failAfterEachStep, lab } from './resource-lab.ts';

const PLACE = '/run/gcs-test/place';

process.env.GCS_TEST_PLACE = PLACE;
const storage = JSON.parse(process.env.GCS_TEST_STORAGE ?? '') as GuestStorage;
const host = new VsockTransport({});
const world = {
  devices: machineDevices(),
  dial: async (port: number) => (await host.dial(port)).takeFd(),
};

beforeAll(() => {
  mkdirSync(PLACE, { recursive: true });
});
afterAll(() => rmSync(PLACE, { recursive: true, force: true }));

function disk(lun: number, more: Partial<Disk>): Disk {
  return diskAt(join(PLACE, 'mounts/m0'), { lun, ...more });
}

const checked = () =>
  disk(storage.verity.lun, {
    readOnly: true,
    verity: { rootDigest: storage.verity.rootDigest },
  });

const share = (): StorageResource => ({
  kind: 'shared-directory',
  mountPath: join(PLACE, 'mounts/share'),
  readOnly: false,
  source: { kind: '9p', port: storage.share.port, share: storage.share.name },
});

function pmem(more: object): StorageResource {
  return {
    kind: 'pmem',
    device: storage.pmem.device,
    mountPath: join(PLACE, 'mounts/pmem'),
    slice: undefined,
    verity: undefined,
    ...more,
  };
}

const slice = { offset: 0, size: storage.pmem.size };

it.each<[string, () => StorageResource, RegExp]>([
  ['a disk with dm-verity', checked, /dm-verity/],
  [
    'an encrypted disk',
    () =>
      disk(storage.scratch.lun, { encrypted: true, ensureFileSystem: true, fileSystem: 'ext4' }),
    /format the disk.*dm-crypt.*write the first block/,
  ],
  [
    'an encrypted disk that is only named',
    () => disk(storage.scratch.lun, { encrypted: true, blockDevice: true }),
    /dm-crypt.*link/,
  ],
  [
    'a slice of persistent memory with dm-verity',
    () => pmem({ slice, verity: { rootDigest: storage.pmem.rootDigest } }),
    /dm-linear.*dm-verity/,
  ],
  ['a share over vsock', share, /.*/],
])('a failure after each step of %s leaves nothing', async (_, resource, named) => {
  const steps = await failAfterEachStep(resource(), { world });
  expect(steps.length).toBeGreaterThan(1);
  expect(steps.join(', ')).toMatch(named);
});

function held(): string[] {
  return [
    ...readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/self/fd/${fd}`).replace(/\d+/g, '')];
      } catch {
        // That of the listing itself.
        return [];
      }
    }),
    ...readdirSync('/sys/block').filter((name) => name.startsWith('dm-')),
    ...readdirSync(PLACE),
  ].sort();
}

/** Milliseconds for a thousand cycles on an interpreted processor. */
const CYCLES_MS = 900_000;

it.each<[string, () => StorageResource, number]>([
  ['a share over vsock', share, storage.cycles.share],
  ['a disk with dm-verity', checked, storage.cycles.verity],
])(
  'many cycles of %s leave nothing and take no more memory',
  async (_, resource, cycles) => {
    const resources = lab({ world });
    const run = async (count: number): Promise<number> => {
      for (let cycle = 0; cycle < count; cycle++) {
        await resources.add(resource());
        await resources.remove(resource());
      }
      return process.memoryUsage.rss();
    };
    const warm = await run(Math.ceil(cycles / 5));
    const before = held();
    const grown = (await run(cycles - Math.ceil(cycles / 5))) - warm;
    assert.deepEqual(held(), before);
    // V8 takes its heap in steps; what each cycle kept would be there many times.
    expect(grown).toBeLessThan(48 * 1024 * 1024);
  },
  CYCLES_MS,
);

// The suite ends the process, and the kernel with it what is open.
afterAll(() => host[Symbol.asyncDispose]());
