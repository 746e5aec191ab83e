import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { addAssignedDevices, type DeviceTrees } from './assigned-devices.ts';
import type { OciSpec } from './oci.ts';

const guid = '0a1b2c3d-0000-4000-8000-00000000abcd';
let trees: DeviceTrees;

/** One PCI device behind a bus of its own, with two nodes, and a node of something else. */
beforeEach(() => {
  const root = mkdtempSync(join(tmpdir(), 'gcs-assigned-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  trees = { sys: join(root, 'sys'), dev: join(root, 'dev') };
  const bus = join(trees.sys, 'devices', guid);
  const pci = join(bus, 'pci0001:00/0001:00:00.0');
  for (const path of [
    join(pci, 'accel/a0'),
    join(pci, 'block/b0'),
    join(trees.sys, 'devices/other/o0'),
    join(trees.sys, 'bus/vmbus/devices'),
    join(trees.sys, 'bus/pci/devices'),
    join(trees.sys, 'dev/char'),
    join(trees.sys, 'dev/block'),
    join(trees.dev, 'accel'),
  ]) {
    mkdirSync(path, { recursive: true });
  }
  symlinkSync(bus, join(trees.sys, 'bus/vmbus/devices', guid));
  symlinkSync(pci, join(trees.sys, 'bus/pci/devices/0001:00:00.0'));
  symlinkSync(join(trees.sys, 'devices/other'), join(trees.sys, 'bus/pci/devices/0000:00:01.0'));
  symlinkSync(join(pci, 'accel/a0'), join(trees.sys, 'dev/char/240:1'));
  symlinkSync(join(pci, 'block/b0'), join(trees.sys, 'dev/block/241:2'));
  symlinkSync(join(trees.sys, 'bus'), join(trees.sys, 'dev/char/240:9'));
  const mknod = (path: string, ...numbers: string[]) =>
    execFileSync('mknod', [join(trees.dev, path), ...numbers]);
  mknod('accel/a0', 'c', '240', '1');
  mknod('b0', 'b', '241', '2');
  mknod('unrelated', 'c', '240', '9');
  mknod('nameless', 'c', '240', '8');
});

const specWith = (...devices: unknown[]): OciSpec => ({ windows: { devices }, linux: {} });

test.each([
  ['vpci-instance-id', guid.toUpperCase()],
  ['vpci', '0001:00:00.0'],
])('a container gets the nodes of its device and may use them: %s %s', (idType, id) => {
  const spec = addAssignedDevices(specWith({ idType, id }), vi.fn(), trees);
  const nodes = spec.linux?.devices as { path: string; major: number; minor: number }[];
  expect(nodes.map(({ path, major, minor }) => [path, major, minor]).sort()).toEqual([
    [join(trees.dev, 'accel/a0'), 240, 1],
    [join(trees.dev, 'b0'), 241, 2],
  ]);
  expect(spec.linux?.resources?.devices).toHaveLength(2);
});

test.each([
  'ffffffff-0000-4000-8000-00000000abcd',
  '../pci',
  '..',
  '0000:00:01.0',
  '',
  7,
  undefined,
])('a device that is not there, or has no nodes, is refused: %s', (id) => {
  const device = { idType: 'vpci-instance-id', id };
  const good = { idType: 'vpci', id: guid };
  expect(() => addAssignedDevices(specWith(good, device), vi.fn(), trees)).toThrow(
    expect.objectContaining({
      code: 'invalid-argument',
      field: 'OciSpecification.windows.devices[1].id',
    }),
  );
});

test('a device of a type that nobody knows is ignored with a warning', () => {
  const warn = vi.fn();
  const spec = specWith({ idType: 'class', id: 'x' }, null);
  expect(addAssignedDevices(spec, warn, trees)).toEqual(spec);
  expect(warn).toHaveBeenCalledTimes(2);
  expect(addAssignedDevices({}, warn, trees)).toEqual({});
});
