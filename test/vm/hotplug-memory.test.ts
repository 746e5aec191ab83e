/** Memory of both kinds and PCI devices, plugged into the running VM. */
import { mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { appendVerity } from '../support/storage/verity-tree.ts';
import type { Session } from '../support/suite.ts';
import type { VmDevices } from '../support/vm-devices.ts';
import {
  add,
  CONTENT,
  expectClean,
  ext4,
  failureOf,
  MIB,
  remove,
  withDevices,
} from '../support/vm-storage.ts';

/** Memory modules come in these. */
const MODULE = 128 * MIB;
const MOUNT = '/run/mounts/pmem0';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-vm-memory-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** The number the next persistent memory device gets: those of other tests stay plugged in. */
async function nextPmem(s: Session): Promise<number> {
  return Number(await s.uvmSh('ls /sys/block | grep -c pmem || true'));
}

type Plug = (devices: VmDevices, file: string, size: number) => Promise<void>;

test.each<[string, Plug, RegExp]>([
  // A namespace without labels has no pages of memory, which direct access takes.
  ['an NVDIMM', (devices, file, size) => devices.nvdimm(file, size), /ext4 ro,(?!.*dax)/],
  [
    'a virtio-pmem device, with direct access',
    (devices, file, size) => devices.virtioPmem(file, size),
    /ext4 ro,.*\bdax/,
  ],
])('%s: whole; a slice of it; with verity', (_, plug, mounted) =>
  withDevices(async (s, devices) => {
    const file = ext4(directory, MODULE / 2);
    const rootDigest = appendVerity(file);
    truncateSync(file, MODULE);
    const DeviceNumber = await nextPmem(s);
    const settings = { DeviceNumber, MountPath: MOUNT };
    const added = add(s, 'VPMemDevice', settings);
    await plug(devices, file, MODULE);
    await added;
    expect(await s.uvmSh(`cat ${MOUNT}/file`)).toBe(CONTENT);
    expect(await s.uvmSh(`grep ' ${MOUNT} ' /proc/mounts`)).toMatch(mounted);
    await remove(s, 'VPMemDevice', settings);
    await expectClean(s);

    const slice = {
      ...settings,
      MappingInfo: { DeviceOffsetInBytes: 0, DeviceSizeInBytes: MODULE / 2 },
    };
    await add(s, 'VPMemDevice', slice);
    expect(await s.uvmSh(`cat ${MOUNT}/file`)).toBe(CONTENT);
    expect(await s.uvmSh('cat /sys/block/dm-0/dm/name /sys/block/dm-0/size')).toBe(
      `dm-linear-pmem${DeviceNumber}-0-${MODULE / 2}\n${MODULE / 2 / 512}\n`,
    );
    expect(await failureOf(add(s, 'VPMemDevice', slice))).toContain('is taken by');
    await remove(s, 'VPMemDevice', slice);

    const checked = { ...settings, VerityInfo: { RootDigest: rootDigest } };
    await add(s, 'VPMemDevice', checked);
    expect(await s.uvmSh(`cat ${MOUNT}/file`)).toBe(CONTENT);
    await remove(s, 'VPMemDevice', checked);
    const wrong = { ...settings, VerityInfo: { RootDigest: '00'.repeat(32) } };
    expect(await failureOf(add(s, 'VPMemDevice', wrong))).toContain('VerityInfo.RootDigest');
    const beyond = {
      ...settings,
      MappingInfo: { DeviceOffsetInBytes: MODULE / 2, DeviceSizeInBytes: MODULE },
    };
    expect(await failureOf(add(s, 'VPMemDevice', beyond))).toContain(
      'MappingInfo.DeviceSizeInBytes',
    );
  }));

test('memory that is plugged in is put to use, and the pods get it', () =>
  withDevices(async (s, devices) => {
    const total = async () =>
      Number(await s.uvmSh("sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")) * 1024;
    const limit = async () => Number(await s.uvmSh('cat /sys/fs/cgroup/pods/memory.max'));
    const before = { total: await total(), limit: await limit() };
    await devices.memory(MODULE);
    await s.raw.agent.logged('memory for pods');
    const after = { total: await total(), limit: await limit() };
    expect(after.total).toBe(before.total + MODULE);
    expect(after.limit).toBe(before.limit + MODULE);
  }));

test('a PCI device that is awaited is answered when it is there', () =>
  withDevices(async (s, devices) => {
    const awaited = add(s, 'VPCIDevice', { VMBusGUID: '0000:00:1e.0' });
    let answered = false;
    const note = awaited.then(() => {
      answered = true;
    });
    expect(await s.uvmSh('ls /sys/bus/pci/devices | grep -c 1e.0 || true')).toBe('0\n');
    expect(answered).toBe(false);
    await devices.pciDevice('virtio-rng-pci', 0x1e);
    await note;
    await add(s, 'VPCIDevice', { VMBusGUID: '0000:00:1e.0' });
    expect(await failureOf(add(s, 'VPCIDevice', { VMBusGUID: '0000:00:1f.0' }))).toContain(
      'PCI device 0000:00:1f.0 did not appear',
    );
    expect(await failureOf(add(s, 'VPCIDevice', { VMBusGUID: '../../x' }))).toContain('VMBusGUID');
  }));
