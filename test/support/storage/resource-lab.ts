import assert from 'node:assert/strict';
import { silentLogger } from '../../../src/log/logger.ts';
import { Reaper } from '../../../src/os/reaper.ts';
import { watchUevents } from '../../../src/storage/devices/appearance.ts';
import { Directories } from '../../../src/storage/directories.ts';
import type { StorageResource } from '../../../src/storage/resource.ts';
import { toolRunner } from '../../../src/storage/tools.ts';
import type { StorageWorld } from '../../../src/storage/world.ts';
import { Resources } from '../../../src/uvm/resources.ts';
import { failure } from './failures.ts';
import { TestDevices } from './test-devices.ts';
import { trace } from './trace.ts';

export interface LabOptions {
  world?: Partial<StorageWorld>;
  containerAt?: (path: string) => string | undefined;
  afterStep?: (name: string) => void;
}

export type Disk = Extract<StorageResource, { kind: 'disk' }>;

/** A whole disk to be mounted as it is, but for what is said. */
export function diskAt(mountPath: string, more: Partial<Disk> = {}): Disk {
  return {
    kind: 'disk',
    mountPath,
    controller: 0,
    lun: 1,
    partition: 0,
    readOnly: false,
    encrypted: false,
    options: [],
    blockDevice: false,
    ensureFileSystem: false,
    fileSystem: '',
    verity: undefined,
    ...more,
  };
}

/** Devices of a test that has none. */
const noDevices = new TestDevices({});

let reaper: Reaper | undefined;

/** Resources as a VM has them, with no containers. */
export function lab(options: LabOptions = {}): Resources {
  const { afterStep, containerAt = () => undefined } = options;
  reaper ??= Reaper.start();
  return new Resources({
    world: {
      directories: new Directories(),
      devices: noDevices,
      watchDevices: watchUevents,
      runTool: toolRunner(reaper),
      dial: () => Promise.reject(new Error('nobody is to be dialed')),
      ...options.world,
    },
    logger: silentLogger,
    containerAt,
    ...(afterStep === undefined ? {} : { afterStep }),
  });
}

/**
 * Adds a resource once for each of its steps, failing after it, and requires that nothing is left;
 * then adds it whole and removes it, with the same result. Returns the names of the steps.
 */
export async function failAfterEachStep(
  resource: StorageResource,
  options: LabOptions = {},
): Promise<string[]> {
  const steps: string[] = [];
  let failAt = Number.POSITIVE_INFINITY;
  let count = 0;
  const resources = lab({
    ...options,
    afterStep: (name) => {
      if (failAt === Number.POSITIVE_INFINITY) steps.push(name);
      if (count++ === failAt) throw new Error(`injected after ${name}`);
    },
  });
  // The first time loads what is loaded once.
  await resources.add(resource);
  await resources.remove(resource);
  const before = trace();
  for (const [index, name] of steps.entries()) {
    failAt = index;
    count = 0;
    const error = await failure(() => resources.add(resource));
    assert.match(error.message, /injected/);
    assert.deepEqual(trace(), before, `after a failure after: ${name}`);
  }
  failAt = Number.POSITIVE_INFINITY;
  await resources.add(resource);
  await resources.remove(resource);
  assert.deepEqual(trace(), before, 'after a whole add and remove');
  return [...new Set(steps)];
}

/** Adds and removes a resource a thousand times, and requires that nothing is left of it. */
export async function cycleOften(resources: Resources, resource: StorageResource): Promise<void> {
  // The first time loads what is loaded once.
  await resources.add(resource);
  await resources.remove(resource);
  const before = trace();
  for (let cycle = 0; cycle < 1000; cycle++) {
    await resources.add(resource);
    await resources.remove(resource);
  }
  assert.deepEqual(trace(), before);
}
