import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { findFileSystem } from '../../../src/storage/file-system.ts';
import type { StorageResource } from '../../../src/storage/resource.ts';
import { failure } from './failures.ts';
import { imageFile, LoopDevice, tool } from './loop.ts';
import { type Cases, place } from './private-mounts.ts';
import { cycleOften, type Disk, diskAt, failAfterEachStep, lab } from './resource-lab.ts';
import { TestDevices } from './test-devices.ts';
import { trace } from './trace.ts';

const MIB = 1024 * 1024;
/** Smaller ones mkfs.xfs does not make. */
const XFS_SIZE = 300 * MIB;

function disk(more: Partial<Disk> = {}): Disk {
  return diskAt(join(place(), 'run/mounts/m0'), more);
}

/** A directory with a few files for the tools that make file systems of one. */
function source(): string {
  const path = join(place(), 'source');
  mkdirSync(join(path, 'dir'), { recursive: true });
  writeFileSync(join(path, 'dir/file'), 'content');
  return path;
}

function ext4Image(size = 16 * MIB): string {
  const file = imageFile(size);
  tool('mkfs.ext4', '-q', '-F', '-d', source(), file);
  return file;
}

function resourcesOn(...devices: LoopDevice[]) {
  const nodes = devices.map((device, index) => [`0:${index + 1}`, device.path]);
  return lab({ world: { devices: new TestDevices(Object.fromEntries(nodes)) } });
}

function mountLine(path: string): string {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.find((line) => line.split(' ')[4] === path) ?? '';
}

async function writable(): Promise<void> {
  using device = new LoopDevice(ext4Image());
  const resources = resourcesOn(device);
  const before = trace();
  const resource = disk();
  await resources.add(resource);
  assert.equal(readFileSync(join(resource.mountPath, 'dir/file'), 'utf8'), 'content');
  writeFileSync(join(resource.mountPath, 'written'), 'kept');
  await resources.remove(resource);
  assert.deepEqual(trace(), before);
  await resources.add(resource);
  assert.equal(readFileSync(join(resource.mountPath, 'written'), 'utf8'), 'kept');
  await resources.remove(resource);
  const error = await failure(() => resources.remove(resource));
  assert.match(error.message, /or it was removed/);
}

async function readOnlyTypes(): Promise<void> {
  const erofs = imageFile(0);
  tool('mkfs.erofs', erofs, source());
  const squashfs = join(place(), 'squashfs');
  tool('mksquashfs', source(), squashfs, '-quiet', '-no-progress');
  const images = { ext4: ext4Image(), erofs, squashfs };
  for (const [type, file] of Object.entries(images)) {
    using device = new LoopDevice(file, { readOnly: true });
    assert.equal((await findFileSystem(device.path))?.type, type);
    const resources = resourcesOn(device);
    const resource = disk({ readOnly: true });
    await resources.add(resource);
    const line = mountLine(resource.mountPath);
    assert.match(line, new RegExp(` - ${type} `));
    assert.match(line.split(' - ')[1] ?? '', /\bro\b/);
    if (type === 'ext4') assert.match(line, /norecovery/);
    assert.equal(readFileSync(join(resource.mountPath, 'dir/file'), 'utf8'), 'content');
    assert.throws(() => writeFileSync(join(resource.mountPath, 'x'), ''), { code: 'EROFS' });
    await resources.remove(resource);
  }
}

async function xfs(): Promise<void> {
  const file = imageFile(XFS_SIZE);
  tool('mkfs.xfs', '-q', file);
  using device = new LoopDevice(file);
  assert.deepEqual(await findFileSystem(device.path), { type: 'xfs', size: BigInt(XFS_SIZE) });
  const resources = resourcesOn(device);
  for (const readOnly of [false, true]) {
    const resource = disk({ readOnly });
    await resources.add(resource);
    const line = mountLine(resource.mountPath);
    assert.match(line, readOnly ? / - xfs .*norecovery/ : / - xfs /);
    await resources.remove(resource);
  }
}

/** Left with a journal to replay, a read-only disk must not be written to. */
async function uncleanJournal(): Promise<void> {
  const file = ext4Image();
  // Feature needs_recovery, bit 2 of the incompatible ones.
  tool('debugfs', '-w', '-R', 'feature needs_recovery', file);
  using device = new LoopDevice(file, { readOnly: true });
  const before = readFileSync(file);
  const resources = resourcesOn(device);
  const resource = disk({ readOnly: true });
  await resources.add(resource);
  assert.equal(readFileSync(join(resource.mountPath, 'dir/file'), 'utf8'), 'content');
  await resources.remove(resource);
  assert.ok(before.equals(readFileSync(file)), 'the disk was written to');
}

async function partitions(): Promise<void> {
  const image = Buffer.alloc(32 * MIB);
  readFileSync(ext4Image(8 * MIB)).copy(image, 16 * MIB);
  const file = imageFile(0);
  writeFileSync(file, image);
  using device = new LoopDevice(file, { partitions: true });
  // By hand: not every kernel knows partition tables.
  tool('addpart', device.path, '1', `${MIB / 512}`, `${MIB / 512}`);
  tool('addpart', device.path, '2', `${(16 * MIB) / 512}`, `${(8 * MIB) / 512}`);
  const resources = resourcesOn(device);
  const resource = disk({ partition: 2 });
  await resources.add(resource);
  assert.equal(readFileSync(join(resource.mountPath, 'dir/file'), 'utf8'), 'content');
  await resources.remove(resource);
  const error = await failure(() => resources.add(disk({ partition: 1 })));
  assert.match(error.message, /no file system that is known/);
}

async function ensure(): Promise<void> {
  using device = new LoopDevice(imageFile(XFS_SIZE));
  const resources = resourcesOn(device);
  const before = trace();
  const ext4 = disk({ ensureFileSystem: true, fileSystem: 'ext4' });
  await resources.add(ext4);
  writeFileSync(join(ext4.mountPath, 'first'), '');
  await resources.remove(ext4);
  // What it has is kept …
  await resources.add(ext4);
  assert.equal(existsSync(join(ext4.mountPath, 'first')), true);
  await resources.remove(ext4);
  // … and another file system replaces it, both ways.
  for (const fileSystem of ['xfs', 'ext4', 'xfs']) {
    const resource = disk({ ensureFileSystem: true, fileSystem });
    await resources.add(resource);
    assert.match(mountLine(resource.mountPath), new RegExp(` - ${fileSystem} `));
    assert.equal(existsSync(join(resource.mountPath, 'first')), false);
    await resources.remove(resource);
  }
  assert.deepEqual(trace(), before);
  const refusals: [Partial<Disk>, field: string][] = [
    [{ fileSystem: '' }, 'Filesystem'],
    [{ fileSystem: 'erofs' }, 'Filesystem'],
    [{ fileSystem: 'ext4', readOnly: true }, 'EnsureFilesystem'],
  ];
  for (const [more, field] of refusals) {
    const error = await failure(() => resources.add(disk({ ensureFileSystem: true, ...more })));
    assert.equal(error.field, field, error.message);
    assert.deepEqual(trace(), before);
  }
}

async function toolFails(): Promise<void> {
  // Far too small for a file system.
  using device = new LoopDevice(imageFile(4096));
  const before = trace();
  const error = await failure(() =>
    resourcesOn(device).add(disk({ ensureFileSystem: true, fileSystem: 'ext4' })),
  );
  assert.match(error.message, /mkfs\.ext4 failed with exit code 1: .+/s);
  assert.deepEqual(trace(), before);
}

async function noFileSystem(): Promise<void> {
  using device = new LoopDevice(imageFile(MIB));
  const resources = resourcesOn(device);
  const before = trace();
  let error = await failure(() => resources.add(disk()));
  assert.match(error.message, /no file system that is known/);
  error = await failure(() => resources.add(disk({ fileSystem: 'ext4' })));
  // The kernel's own words.
  assert.match(error.message, /ext4/i);
  error = await failure(() => resources.add(disk({ fileSystem: 'ntfs' })));
  assert.equal(error.field, 'Filesystem');
  error = await failure(() => resources.add(disk({ lun: 7 })));
  assert.match(error.message, /did not appear/);
  error = await failure(() => resources.add(disk({ encrypted: true, readOnly: true })));
  assert.equal(error.field, 'Encrypted');
  error = await failure(() => resources.add(disk({ verity: { rootDigest: '' } })));
  assert.equal(error.field, 'ReadOnly');
  assert.deepEqual(trace(), before);
}

async function propagation(): Promise<void> {
  using device = new LoopDevice(ext4Image());
  const resources = resourcesOn(device);
  const optional = (path: string) => mountLine(path).split(' - ')[0]?.split(' ').slice(6).join(' ');
  const expected: [options: string[], tags: RegExp][] = [
    [[], /^$/],
    [['rshared'], /^shared:\d+$/],
    [['ro', 'shared', 'nosuid'], /^shared:\d+$/],
    [['rshared', 'rslave', 'shared'], /^shared:\d+$/],
    [['unbindable'], /^unbindable$/],
    [['rshared', 'private'], /^$/],
    [['constructor', 'whatever'], /^$/],
  ];
  for (const [options, tags] of expected) {
    const resource = disk({ options });
    await resources.add(resource);
    assert.match(optional(resource.mountPath) ?? '?', tags, options.join());
    await resources.remove(resource);
  }
  // Below a shared mount it is what was asked for, not what it is attached to.
  const shared = join(place(), 'shared');
  mkdirSync(shared);
  tool('mount', '-t', 'tmpfs', '--make-shared', 'tmpfs', shared);
  const resource = disk({ mountPath: join(shared, 'disk'), options: ['private'] });
  await resources.add(resource);
  assert.equal(optional(resource.mountPath), '');
  await resources.remove(resource);
}

async function blockDevice(): Promise<void> {
  using device = new LoopDevice(imageFile(MIB));
  const resources = resourcesOn(device);
  const resource = disk({ blockDevice: true, mountPath: join(place(), 'dev/a/disk') });
  const before = trace();
  await resources.add(resource);
  assert.equal(readlinkSync(resource.mountPath), device.path);
  const error = await failure(() => resources.unplugDisk({ controller: 0, lun: 1 }));
  assert.match(error.message, /in use at .*dev\/a\/disk/);
  await resources.remove(resource);
  assert.deepEqual(trace(), before);
  assert.equal((await failAfterEachStep(resource, labOptions(device))).length, 3);
  // What is there already is neither replaced nor removed.
  mkdirSync(join(place(), 'dev/a'), { recursive: true });
  symlinkSync('/elsewhere', resource.mountPath);
  const exists = await failure(() => resources.add(resource));
  assert.equal(exists.field, 'MountPath');
  assert.equal(readlinkSync(resource.mountPath), '/elsewhere');
}

function labOptions(device: LoopDevice) {
  return { world: { devices: new TestDevices({ '0:1': device.path, pmem0: device.path }) } };
}

async function faults(): Promise<void> {
  using device = new LoopDevice(ext4Image());
  const steps = await failAfterEachStep(disk({ options: ['rshared'] }), labOptions(device));
  assert.equal(steps.length, 5);
  const pmem: StorageResource = {
    kind: 'pmem',
    device: 0,
    mountPath: join(place(), 'pmem'),
    slice: undefined,
    verity: undefined,
  };
  assert.equal((await failAfterEachStep(pmem, labOptions(device))).length, 3);
}

async function underLayers(): Promise<void> {
  using layer = new LoopDevice(ext4Image());
  using scratch = new LoopDevice(ext4Image());
  const devices = new TestDevices({ '0:1': layer.path, '0:2': scratch.path });
  const resources = lab({ world: { devices } });
  const before = trace();
  const layerDisk = disk({ readOnly: true, mountPath: join(place(), 'mounts/layer') });
  const scratchDisk = disk({ lun: 2, mountPath: join(place(), 'mounts/scratch') });
  const root: StorageResource = {
    kind: 'combined-layers',
    containerId: 'c1',
    rootPath: join(place(), 'run/c1/rootfs'),
    layers: [layerDisk.mountPath],
    scratchPath: join(scratchDisk.mountPath, 'scratch/c1'),
  };
  await resources.add(layerDisk);
  await resources.add(scratchDisk);
  await resources.add(root);
  writeFileSync(join(root.rootPath, 'dir/file'), 'changed');
  for (const used of [layerDisk, scratchDisk]) {
    const error = await failure(() => resources.remove(used));
    assert.match(error.message, /in use by layers of c1 at .*rootfs/);
    const unplug = await failure(() => resources.unplugDisk(used));
    assert.match(unplug.message, /in use at/);
  }
  await resources.remove(root);
  await resources.remove(scratchDisk);
  await resources.remove(layerDisk);
  await resources.unplugDisk({ controller: 0, lun: 2 });
  assert.deepEqual(devices.unplugged, ['0:2']);
  assert.deepEqual(trace(), before);
  // On the disk the container's change is still there; the layer is as it was.
  await resources.add(scratchDisk);
  const upper = join(scratchDisk.mountPath, 'scratch/c1/upper/dir/file');
  assert.equal(readFileSync(upper, 'utf8'), 'changed');
  await resources.destroy();
  assert.deepEqual(trace(), before);
}

/** The disk's own directory was made by us as well, and is a mount point. */
async function unusedScratch(): Promise<void> {
  using device = new LoopDevice(ext4Image());
  const resources = resourcesOn(device);
  const before = trace();
  const scratch = disk();
  const layer = source();
  const root: StorageResource = {
    kind: 'combined-layers',
    containerId: 'c1',
    rootPath: join(place(), 'run/c1/rootfs'),
    layers: [layer],
    scratchPath: join(scratch.mountPath, 'scratch/c1'),
  };
  await resources.add(scratch);
  await resources.add(root);
  await resources.remove(root);
  assert.equal(existsSync(join(scratch.mountPath, 'scratch')), false);
  await resources.remove(scratch);
  assert.deepEqual(trace(), before);
}

async function hostilePaths(): Promise<void> {
  using device = new LoopDevice(ext4Image());
  const resources = resourcesOn(device);
  mkdirSync(join(place(), 'real'));
  symlinkSync(join(place(), 'real'), join(place(), 'link'));
  const before = trace();
  const link = join(place(), 'link');
  for (const mountPath of ['', '/', 'x', `${place()}/../x`, link, `${link}/x`, '/proc', '/etc']) {
    for (const blockDevice of [false, true]) {
      if (blockDevice && ['/proc', '/etc'].includes(mountPath)) continue;
      const error = await failure(() => resources.add(disk({ mountPath, blockDevice })));
      assert.equal(error.code, 'invalid-argument', error.message);
      assert.equal(error.field, 'MountPath');
      assert.deepEqual(trace(), before, mountPath);
    }
  }
}

async function pmem(): Promise<void> {
  const erofs = imageFile(0);
  tool('mkfs.erofs', erofs, source());
  using device = new LoopDevice(erofs);
  const resources = lab(labOptions(device));
  const resource: StorageResource = {
    kind: 'pmem',
    device: 0,
    mountPath: join(place(), 'pmem'),
    slice: undefined,
    verity: undefined,
  };
  const before = trace();
  await resources.add(resource);
  assert.equal(readFileSync(join(resource.mountPath, 'dir/file'), 'utf8'), 'content');
  assert.throws(() => writeFileSync(join(resource.mountPath, 'x'), ''), { code: 'EROFS' });
  await resources.remove(resource);
  const slices: [offset: number | bigint, size: number | bigint, field: string][] = [
    [1, 512, 'MappingInfo.DeviceOffsetInBytes'],
    [0, 0, 'MappingInfo.DeviceSizeInBytes'],
    [0, 513, 'MappingInfo.DeviceSizeInBytes'],
    [2n ** 63n, 512, 'MappingInfo.DeviceOffsetInBytes'],
    [0, 2 ** 40, 'MappingInfo.DeviceSizeInBytes'],
    [2 ** 40, 512, 'MappingInfo.DeviceSizeInBytes'],
  ];
  for (const [offset, size, field] of slices) {
    const error = await failure(() => resources.add({ ...resource, slice: { offset, size } }));
    assert.equal(error.code, 'invalid-argument', error.message);
    assert.equal(error.field, field);
  }
  assert.deepEqual(trace(), before);
}

async function manyCycles(): Promise<void> {
  const erofs = imageFile(0);
  tool('mkfs.erofs', erofs, source());
  using device = new LoopDevice(erofs);
  await cycleOften(resourcesOn(device), disk({ readOnly: true }));
}

export const cases: Cases = {
  'a disk is mounted, written and removed, and says so the second time': writable,
  'ext4, EROFS and squashfs are found and mounted read-only': readOnlyTypes,
  'xfs, writable and read-only': xfs,
  'a read-only disk is not written to, not even its journal': uncleanJournal,
  'a partition by its number': partitions,
  'a missing or different file system is made when asked for': ensure,
  'what a tool says about its failure is told': toolFails,
  'disks that cannot be mounted leave nothing': noFileSystem,
  'propagation options': propagation,
  'a block device is linked, not mounted': blockDevice,
  'a failure after each step leaves nothing': faults,
  'disks under layers stay as long as they are needed': underLayers,
  'a scratch space nothing was written to is removed from its disk': unusedScratch,
  'hostile paths are refused by field and leave nothing': hostilePaths,
  'persistent memory devices and slices that make no sense': pmem,
  'a thousand cycles leave nothing': manyCycles,
};
