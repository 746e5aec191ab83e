/** Storage of the guest, failing after each step and repeated many times, in the guest itself. */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'vitest';
import { expectGuestSuite } from '../support/guest-runner/run.ts';
import { NinePServer } from '../support/nine-p-server.ts';
import type { GuestStorage } from '../support/storage/guest-storage.ts';
import { appendVerity } from '../support/storage/verity-tree.ts';
import { inGuest, vmDirectoryOf } from '../support/vm-agent.ts';
import { VmDevices } from '../support/vm-devices.ts';
import { ext4, image, MIB, vm } from '../support/vm-storage.ts';

const SHARE_PORT = 5641;
const PMEM_SIZE = 128 * MIB;
/** An interpreted processor takes a good part of a second for each: there a thousand are on request. */
const FEW = { share: 100, verity: 20 };
const MANY = { share: 1000, verity: 1000 };
const SUITE = join(import.meta.dirname, '../support/storage/guest-cases.ts');

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-vm-faults-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('a failure after each step leaves nothing, nor do many cycles', {
  timeout: 1_200_000,
}, async () => {
  await using devices = await VmDevices.open(vm());
  const bus = await devices.scsiController();
  const checked = ext4(directory);
  const rootDigest = appendVerity(checked);
  await devices.scsiDisk(bus, 1, checked, true);
  await devices.scsiDisk(bus, 2, image(directory, 64 * MIB));
  const persistent = ext4(directory, PMEM_SIZE / 2);
  const pmemDigest = appendVerity(persistent);
  truncateSync(persistent, PMEM_SIZE);
  const device = Number(await inGuest(vm(), 'ls /sys/block | grep -c pmem || true'));
  await devices.virtioPmem(persistent, PMEM_SIZE);
  const shared = join(directory, 'shared');
  mkdirSync(shared);
  // The kernel attaches as "nobody" first.
  chmodSync(directory, 0o755);
  await using _server = new NinePServer(join(vm(), `vsock_${SHARE_PORT}`), shared);
  const slow = vmDirectoryOf(vm()).requireRunning().acceleration === 'tcg';
  const storage: GuestStorage = {
    cycles: slow && process.env.GCS_TEST_LONG === undefined ? FEW : MANY,
    verity: { lun: 1, rootDigest },
    scratch: { lun: 2 },
    pmem: { device, size: PMEM_SIZE, rootDigest: pmemDigest },
    share: { port: SHARE_PORT, name: shared },
  };
  await expectGuestSuite(vm(), {
    entries: { suite: SUITE },
    env: { GCS_TEST_STORAGE: JSON.stringify(storage) },
    atLeast: 7,
  });
});
