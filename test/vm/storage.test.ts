/**
 * Storage that needs a kernel and devices of its own: device mapper, hot-added disks, shares. They run
 * in the VM alone: other machines' kernels may have none of it, and their devices are not ours.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { NinePServer } from '../support/nine-p-server.ts';
import { appendVerity } from '../support/storage/verity-tree.ts';
import type { Session } from '../support/suite.ts';
import {
  add,
  CONTENT,
  expectClean,
  ext4,
  failureOf,
  image,
  MIB,
  remove,
  vm,
  withDevices,
} from '../support/vm-storage.ts';

/** A port nobody else uses. */
const SHARE_PORT = 5640;
const MOUNT = '/run/mounts/scsi/m0';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-vm-storage-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('disks', () => {
  test('a disk that is attached after it was asked for; unplugged and detached', () =>
    withDevices(async (session, devices) => {
      const bus = await devices.scsiController();
      const settings = { MountPath: MOUNT, Controller: 0, Lun: 3, ReadOnly: true };
      const added = add(session, 'MappedVirtualDisk', settings);
      const disk = await devices.scsiDisk(bus, 3, ext4(directory));
      await added;
      expect(await session.uvmSh(`cat ${MOUNT}/file`)).toBe(CONTENT);
      const address = { Controller: 0, Lun: 3 };
      expect(await failureOf(remove(session, 'SCSIDevice', address))).toMatch(/in use at/);
      await remove(session, 'MappedVirtualDisk', settings);
      await remove(session, 'SCSIDevice', address);
      expect(await session.uvmSh('ls /sys/bus/scsi/devices | grep :3$; true')).toBe('');
      await remove(session, 'SCSIDevice', address);
      await devices.detach(disk);
    }));

  test('a virtio-blk disk by its serial number', () =>
    withDevices(async (session, devices) => {
      await devices.virtioBlk('gcs-1-7', ext4(directory));
      const settings = { MountPath: MOUNT, Controller: 1, Lun: 7 };
      await add(session, 'MappedVirtualDisk', settings);
      expect(await session.uvmSh(`cat ${MOUNT}/file`)).toBe(CONTENT);
      await remove(session, 'MappedVirtualDisk', settings);
    }));

  test('a disk that does not come is named after five seconds', () =>
    withDevices(async (session) => {
      const settings = { MountPath: MOUNT, Controller: 2, Lun: 9 };
      const text = await failureOf(add(session, 'MappedVirtualDisk', settings));
      expect(text).toContain('disk 9 of SCSI controller 2 did not appear within 5000 ms');
    }));
});

describe('dm-verity', () => {
  test('blocks are checked: a wrong root digest is refused, a changed block is an I/O error', () =>
    withDevices(async (session, devices) => {
      const file = ext4(directory);
      const rootDigest = appendVerity(file);
      // A block of the file's content, found by what it holds.
      const at = readFileSync(file).indexOf('a marker that is easily found') + 5 * 4096;
      const bus = await devices.scsiController();
      const good = await devices.scsiDisk(bus, 1, file, true);
      const settings = {
        MountPath: MOUNT,
        Controller: 0,
        Lun: 1,
        ReadOnly: true,
        VerityInfo: { RootDigest: rootDigest },
      };
      await add(session, 'MappedVirtualDisk', settings);
      expect(await session.uvmSh(`cat ${MOUNT}/file`)).toBe(CONTENT);
      expect(await session.uvmSh('cat /sys/block/dm-0/dm/name')).toContain('dm-verity-scsi');
      await remove(session, 'MappedVirtualDisk', settings);
      await expectClean(session);

      const wrong = { ...settings, VerityInfo: { RootDigest: '00'.repeat(32) } };
      const text = await failureOf(add(session, 'MappedVirtualDisk', wrong));
      expect(text).toContain('VerityInfo.RootDigest');
      await expectClean(session);
      await remove(session, 'SCSIDevice', { Controller: 0, Lun: 1 });
      await devices.detach(good);

      const fd = openSync(file, 'r+');
      writeSync(fd, 'X', at);
      closeSync(fd);
      await devices.scsiDisk(bus, 2, file, true);
      const corrupt = { ...settings, Lun: 2 };
      await add(session, 'MappedVirtualDisk', corrupt);
      const read = session.uvmSh(`cat ${MOUNT}/file >/dev/null`);
      await expect(read).rejects.toThrow(/I\/O error|Input\/output error/);
      await remove(session, 'MappedVirtualDisk', corrupt);
      await remove(session, 'SCSIDevice', { Controller: 0, Lun: 2 });
    }));
});

describe('encryption', () => {
  test.each(['ext4', 'xfs'])('%s: written and read in the VM, unreadable outside', (fileSystem) =>
    withDevices(async (session, devices) => {
      const file = image(directory, 512 * MIB);
      const bus = await devices.scsiController();
      await devices.scsiDisk(bus, 5, file);
      const settings = {
        MountPath: MOUNT,
        Controller: 0,
        Lun: 5,
        Encrypted: true,
        EnsureFilesystem: true,
        Filesystem: fileSystem,
      };
      await add(session, 'MappedVirtualDisk', settings);
      const marker = 'nobody outside may read this';
      const written = await session.uvmSh(
        `i=0; while [ $i -lt 2000 ]; do echo '${marker}'; i=$((i+1)); done >${MOUNT}/secret; sync;
         echo 3 >/proc/sys/vm/drop_caches; sort -u ${MOUNT}/secret; grep ${MOUNT} /proc/mounts`,
      );
      expect(written).toContain(marker);
      expect(written).toContain(fileSystem);
      // The table does not tell the key.
      await remove(session, 'MappedVirtualDisk', settings);
      await expectClean(session);
      expect(readFileSync(file).includes(marker)).toBe(false);
      // What was changed outside is noticed: nothing of it is a file system any more.
      await remove(session, 'SCSIDevice', { Controller: 0, Lun: 5 });
    }));
});

describe('shares', () => {
  function makeShare(): string {
    const shared = join(directory, 'shared');
    mkdirSync(shared);
    writeFileSync(join(shared, 'file'), 'from the host');
    return shared;
  }

  /** Read and written, then mounted again, read-only. */
  async function useShare(session: Session, shared: string, settings: object): Promise<void> {
    await add(session, 'MappedDirectory', settings);
    expect(await session.uvmSh(`cat ${MOUNT}/file; echo back >${MOUNT}/other`)).toBe(
      'from the host',
    );
    expect(readFileSync(join(shared, 'other'), 'utf8')).toBe('back\n');
    await remove(session, 'MappedDirectory', settings);
    await add(session, 'MappedDirectory', { ...settings, ReadOnly: true });
    await expect(session.uvmSh(`echo x >${MOUNT}/third`)).rejects.toThrow('Read-only');
    await remove(session, 'MappedDirectory', settings);
  }

  test('a directory of the host over virtiofs, by its tag', () =>
    withDevices(async (session, devices) => {
      const shared = makeShare();
      const socket = join(directory, 'fs');
      const program = ['/usr/lib/qemu/virtiofsd', '/usr/libexec/virtiofsd'].find(existsSync);
      if (program === undefined) throw new Error('virtiofsd is missing: qemu-system-common');
      const options = [`--socket-path=${socket}`, '-o', `source=${shared}`, '-o', 'sandbox=chroot'];
      const server = spawn(program, options, { stdio: ['ignore', 'ignore', 'pipe'] });
      try {
        for await (const text of server.stderr) if (String(text).includes('Waiting')) break;
        const device = await devices.virtiofs('host-files', socket);
        const settings = { MountPath: MOUNT, Tag: 'host-files' };
        await useShare(session, shared, settings);
        const missing = await failureOf(
          add(session, 'MappedDirectory', { ...settings, Tag: 'nobody' }),
        );
        expect(missing).toContain('virtiofs');
        await devices.detach(device);
      } finally {
        server.kill();
        if (server.exitCode === null) await once(server, 'exit');
      }
    }));

  test('a directory of the host over 9p, by a vsock port', () =>
    withDevices(async (session) => {
      const shared = makeShare();
      // The kernel attaches as "nobody" first.
      chmodSync(directory, 0o755);
      await using _server = new NinePServer(join(vm(), `vsock_${SHARE_PORT}`), shared);
      const settings = { MountPath: MOUNT, Port: SHARE_PORT, ShareName: shared };
      await useShare(session, shared, settings);
      const wrong = { ...settings, ShareName: '/no/such' };
      expect(await failureOf(add(session, 'MappedDirectory', wrong))).toContain('9p');
      await expectClean(session);
      const nobody = { ...settings, Port: SHARE_PORT + 1 };
      expect(await failureOf(add(session, 'MappedDirectory', nobody))).toContain('dial port');
    }));

  test('a 9p server that keeps silent is given up', () =>
    withDevices(async (session) => {
      const door = createServer((guest) => guest.on('error', () => {}).resume());
      door.listen(join(vm(), `vsock_${SHARE_PORT}`));
      try {
        const settings = { MountPath: MOUNT, Port: SHARE_PORT, ShareName: 'x' };
        const text = await failureOf(add(session, 'MappedDirectory', settings));
        expect(text).toContain('does not answer');
      } finally {
        door.close();
      }
    }));
});
