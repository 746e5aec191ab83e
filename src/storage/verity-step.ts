import { AgentError } from '../errors.ts';
import { findFileSystem } from './file-system.ts';
import { badValue } from './host-path.ts';
import { mappedDeviceStep } from './mapped-device.ts';
import type { Step } from './steps.ts';
import { readVerity, verityTarget } from './verity.ts';
import type { StorageWorld } from './world.ts';

/** What must be true of a device's hash tree. */
export interface ExpectedVerity {
  /** Hexadecimal; empty: whatever the device says. */
  rootDigest: string;
}

/**
 * Puts dm-verity on a device, with the tree that follows its file system. A root digest other than
 * the expected one is refused before anything is made; a block that does not match its hash is an
 * I/O error for who reads it.
 */
export function verityStep(
  name: string,
  expected: ExpectedVerity,
  world: StorageWorld,
  device: { get: () => string; set: (path: string) => void },
): Step {
  return mappedDeviceStep(
    {
      name,
      readOnly: true,
      target: async () => {
        const fileSystem = await findFileSystem(device.get());
        if (fileSystem === undefined) {
          throw new AgentError('failed', 'dm-verity: the disk has no file system that is known');
        }
        const info = await readVerity(device.get(), fileSystem.size);
        const digest = expected.rootDigest.toLowerCase();
        if (digest !== '' && digest !== info.rootDigest) {
          const why = `is not the root digest of the disk, which is ${info.rootDigest}`;
          throw badValue('VerityInfo.RootDigest', expected.rootDigest, why);
        }
        return { target: verityTarget(device.get(), info) };
      },
      made: device.set,
    },
    world,
  );
}
