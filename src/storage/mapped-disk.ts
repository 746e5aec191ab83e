import { symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { AgentError } from '../errors.ts';
import { hasCode } from '../os/errors.ts';
import type { Fd } from '../os/fd.ts';
import { applyPropagation, deviceMount } from './device-mount.ts';
import type { DiskAddress } from './devices/resolver.ts';
import { inParent, removeLink } from './directories.ts';
import { encryptionSteps } from './encryption.ts';
import { type FileSystemType, fileSystems, findFileSystem } from './file-system.ts';
import { makeFileSystem, parseFormat } from './format.ts';
import { badValue, hostPath } from './host-path.ts';
import type { MountPlan } from './mount-plan.ts';
import { MountTarget } from './mount-target.ts';
import type { Step } from './steps.ts';
import { type ExpectedVerity, verityStep } from './verity-step.ts';
import type { StorageWorld } from './world.ts';

const DIRECTORY_MODE = 0o700;

/** A disk of the host, or a partition of it, to be mounted or named in the VM. */
export interface MappedDisk extends DiskAddress {
  mountPath: string;
  readOnly: boolean;
  encrypted: boolean;
  /** Mount options; those of propagation count. */
  options: readonly string[];
  /** No mount: a symbolic link to the device. */
  blockDevice: boolean;
  ensureFileSystem: boolean;
  /** Empty: what is found on it. */
  fileSystem: string;
  /** Check each block that is read; with the root digest the host expects, if it gives one. */
  verity: ExpectedVerity | undefined;
}

/** What of a disk the steps hand on to each other. */
interface DiskState {
  device: string;
  type: FileSystemType | undefined;
  mount: Fd | undefined;
}

export function mapDisk(disk: MappedDisk, world: StorageWorld): MountPlan {
  const path = hostPath(disk.mountPath, 'MountPath');
  checkCombination(disk);
  const { controller, lun, partition } = disk;
  const name = `scsi-contr${controller}-lun${lun}-p${partition}`;
  const state: DiskState = { device: '', type: undefined, mount: undefined };
  const device = {
    get: () => state.device,
    set: (value: string) => {
      state.device = value;
    },
  };
  const steps: Step[] = [
    {
      name: 'find the disk',
      run: async () => {
        state.device = await world.devices.disk({ controller, lun, partition });
      },
    },
  ];
  if (disk.verity !== undefined) {
    steps.push(verityStep(`dm-verity-${name}`, disk.verity, world, device));
  }
  if (disk.encrypted) steps.push(...encryptionSteps(`dm-crypt-${name}`, world, device));
  steps.push(
    ...(disk.blockDevice ? linkSteps(path, state, world) : mountSteps(path, disk, state, world)),
  );
  const part = partition === 0 ? '' : `, partition ${partition}`;
  return {
    path,
    title: `disk ${lun} of controller ${controller}${part}`,
    needs: [],
    disk: { controller, lun },
    steps,
  };
}

function checkCombination(disk: MappedDisk): void {
  const { fileSystem, readOnly, encrypted } = disk;
  if (fileSystem !== '') parseType(fileSystem);
  if (disk.ensureFileSystem) parseFormat(fileSystem, 'Filesystem');
  else if (encrypted && fileSystem !== '') parseFormat(fileSystem, 'Filesystem');
  if (readOnly && encrypted) {
    throw badValue('Encrypted', true, 'makes no sense with ReadOnly: the disk is made empty');
  }
  if (!readOnly && disk.verity !== undefined) {
    throw badValue('ReadOnly', false, 'must be true with VerityInfo');
  }
}

function parseType(name: string): FileSystemType {
  const found = fileSystems.find((type) => type === name);
  if (found === undefined) {
    throw badValue('Filesystem', name, `is not one of ${fileSystems.join(', ')}`);
  }
  return found;
}

function linkSteps(path: string, state: DiskState, world: StorageWorld): Step[] {
  const parent = dirname(path);
  let missing: readonly string[] | undefined;
  let isOurs = true;
  return [
    {
      name: `make the directory ${parent}`,
      run: (scope) => {
        if (parent === '/') return;
        scope.use(world.directories.make(parent, 'MountPath', DIRECTORY_MODE));
      },
      undo: () => world.directories.remove(parent),
      memory: () => {
        missing ??= world.directories.missing(parent);
        return { missing };
      },
      recall: (memory) => world.directories.adopt((memory as { missing: string[] }).missing),
    },
    {
      name: 'link to the device',
      run: () => {
        try {
          inParent(path, (name) => symlinkSync(state.device, name));
        } catch (error) {
          throw hasCode(error, 'EEXIST') ? badValue('MountPath', path, 'exists already') : error;
        }
      },
      undo: () => {
        if (isOurs) removeLink(path);
      },
      memory: () => ({ free: !world.directories.exists(path) }),
      recall: (memory, done) => {
        isOurs = done || (memory as { free: boolean }).free;
      },
    },
  ];
}

function mountSteps(path: string, disk: MappedDisk, state: DiskState, world: StorageWorld): Step[] {
  const target = new MountTarget(path, 'MountPath', world.directories);
  return [
    { name: 'find or make the file system', run: () => prepare(disk, state, world) },
    target.makeStep(DIRECTORY_MODE),
    target.mountStep('mount the disk', async (scope) => {
      const { device, type } = state;
      if (type === undefined) throw new Error('no file system was found');
      const mount = scope.use(await deviceMount(device, type, { readOnly: disk.readOnly }));
      target.attach(mount);
      state.mount = mount;
    }),
    {
      // Only now: what is attached takes over the propagation of what it is attached to.
      name: 'set the propagation',
      run: () => {
        if (state.mount !== undefined) applyPropagation(state.mount, disk.options);
      },
    },
  ];
}

async function prepare(disk: MappedDisk, state: DiskState, world: StorageWorld): Promise<void> {
  const { device } = state;
  const found = disk.encrypted ? undefined : await findFileSystem(device);
  const wanted = disk.fileSystem === '' ? undefined : parseType(disk.fileSystem);
  if (disk.encrypted || (disk.ensureFileSystem && found?.type !== wanted)) {
    if (disk.readOnly) {
      throw badValue('EnsureFilesystem', true, `cannot make ${wanted} on a read-only disk`);
    }
    const format = parseFormat(wanted ?? 'ext4', 'Filesystem');
    await makeFileSystem(device, format, world.runTool, { unreadable: disk.encrypted });
    state.type = format;
    return;
  }
  state.type = wanted ?? found?.type;
  if (state.type === undefined) {
    throw new AgentError('failed', `${disk.mountPath}: the disk has no file system that is known`, {
      operation: 'mount a disk',
    });
  }
}
