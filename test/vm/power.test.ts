/** The ends of a machine: VMs of their own, because these tests end them. */
import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { ownArchitecture } from '../../src/vm/image.ts';
import { QmpClient } from '../../src/vm/qmp.ts';
import { makeSpec } from '../support/bundle.ts';
import { NULL_CONTAINER, RAW } from '../support/raw-client.ts';
import { Session } from '../support/suite.ts';
import { GUEST_ROOTFS, openVm, useGuestRootfs } from '../support/vm-agent.ts';
import { VmLab } from '../support/vm-command.ts';
import { VmDevices } from '../support/vm-devices.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MIB = 2 ** 20;
const FOREVER = 'trap "" TERM; echo up; while :; do sleep 1000; done';

/** Boots a VM "power" whose containers have a root file system. Resolves with its directory. */
async function bootVm(lab: VmLab, ...options: string[]): Promise<string> {
  const agent = ['--', '-log-format', 'text'];
  const up = await lab.run('vm', 'up', '--name', 'power', ...options, ...agent);
  expect(up.stderr).toContain('agent: negotiated');
  const { path } = lab.directory('power');
  await useGuestRootfs(path);
  return path;
}

async function run(session: Session, id: string): Promise<void> {
  const spec = makeSpec({ rootPath: GUEST_ROOTFS, args: ['sh', '-c', FOREVER] });
  await session.createFrom(id, spec);
  await session.startInit(id, {});
}

async function shutDown(session: Session, type: number): Promise<void> {
  const gone = session.bridge.closed;
  // There is no reply to it: the bridge ends.
  session.bridge.request(type, { ContainerId: NULL_CONTAINER }).catch(() => {});
  await gone;
}

async function qmp(directory: string, command: string, args?: object): Promise<void> {
  const socket = connect(join(directory, 'qmp'));
  const client = new QmpClient(socket);
  try {
    await client.negotiate();
    await client.execute(command, args);
  } finally {
    socket.destroy();
    await client.closed;
  }
}

const bootId = (session: Session): Promise<string> =>
  session.uvmSh('cat /proc/sys/kernel/random/boot_id');

test('a guest that reboots, or is reset, comes back over the same session of its device', {
  timeout: 400_000,
}, async () => {
  await using lab = new VmLab();
  const directory = await bootVm(lab);
  const state = lab.state('power');
  await qmp(directory, 'set-action', { reboot: 'reset' });
  const seen = new Set<string>();
  const ways = [
    (session: Session) => void session.uvmSh('kill -INT 1').catch(() => {}),
    () => qmp(directory, 'system_reset'),
  ];
  for (const way of ways) {
    await using raw = await openVm(directory);
    const session = new Session(raw);
    seen.add(await bootId(session));
    const lost = raw.bridge.closed;
    await way(session);
    await lost;
  }
  await using raw = await openVm(directory);
  const session = new Session(raw);
  seen.add(await bootId(session));
  expect(seen.size).toBe(3);
  expect(await session.uvmSh('ls /run/gcsrunc 2>/dev/null; true')).toBe('');
  expect(lab.directory('power').requireRunning()).toMatchObject({
    qemu: state.qemu,
    supervisor: state.supervisor,
  });
});

test('a graceful shutdown powers the VM off, with containers, and a busy mount is written', {
  timeout: 400_000,
}, async () => {
  const place = mkdtempSync(join(tmpdir(), 'gcs-power-'));
  try {
    await using lab = new VmLab();
    const directory = await bootVm(lab);
    const state = lab.state('power');
    const image = emptyDisk(place);
    {
      await using raw = await openVm(directory);
      const session = new Session(raw);
      await using devices = await VmDevices.open(directory);
      await devices.scsiDisk(await devices.scsiController(), 1, image);
      await session.call(RAW.modifySettings, {
        ContainerId: NULL_CONTAINER,
        Request: {
          RequestType: 'Add',
          ResourceType: 'MappedVirtualDisk',
          Settings: { MountPath: '/run/mounts/disk', Controller: 0, Lun: 1 },
        },
      });
      await run(session, 'one');
      await run(session, 'two');
      // A loop device keeps the file system busy when no process does any more.
      await session.uvmSh(`modprobe loop; cd /run/mounts/disk; echo written >file
        dd if=/dev/zero of=image bs=64k count=1 2>/dev/null; losetup -f image; losetup -a | grep -q image
        mkdir -p /run/inner && mount --bind /run/mounts/disk /run/inner`);
      devices.abandon();
      await shutDown(session, RAW.shutdownGraceful);
    }
    await lab.untilGone(state);
    expect(lab.state('power').ended).toMatch(/guest-shutdown \(QEMU ended with exit code 0\)/);
    expect(lab.sockets('power')).toEqual([]);
    const console = (await lab.run('vm', 'logs', '--console', 'power')).stdout;
    expect(console).toMatch(/init: going down: power off/);
    expect(console).toMatch(/init: \/run\/mounts\/disk was busy: detached/);
    expect(console).toMatch(/init: down\b/);
    expect(console).not.toMatch(/cannot be killed|takes too long/);
    const read = execFileSync('debugfs', ['-R', 'cat /file', image], { stdio: 'pipe' });
    expect(read.toString()).toBe('written\n');
    // Clean: nothing to be recovered from the journal.
    execFileSync('e2fsck', ['-fn', image], { stdio: 'pipe' });
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
});

function emptyDisk(directory: string): string {
  const image = join(directory, 'disk');
  mkdirSync(join(directory, 'empty'));
  writeFileSync(image, '');
  truncateSync(image, 16 * MIB);
  execFileSync('mkfs.ext4', ['-q', '-F', image]);
  return image;
}

/** An image of which only the whole initramfs is there. */
function diskless(base: string): string {
  const directory = join(base, '.image');
  mkdirSync(directory);
  const image = join(ROOT, 'build/vm', ownArchitecture());
  for (const name of ['vmlinuz', 'vmlinux', 'initramfs-full.img', 'manifest.json']) {
    symlinkSync(join(image, name), join(directory, name));
  }
  const words = readFileSync(join(image, 'cmdline'), 'utf8').split(' ');
  const others = words.filter((word) => !word.startsWith('gcs.root='));
  writeFileSync(join(directory, 'cmdline'), others.join(' '));
  return directory;
}

test('the image without a disk boots and runs a container; a forced shutdown ends it', {
  timeout: 400_000,
}, async () => {
  await using lab = new VmLab();
  const directory = await bootVm(lab, '--image', diskless(lab.base), '--memory', '768m');
  const state = lab.state('power');
  await using raw = await openVm(directory);
  const session = new Session(raw);
  await run(session, 'one');
  await shutDown(session, RAW.shutdownForced);
  await lab.untilGone(state);
  expect(lab.state('power').ended).toMatch(/guest-shutdown/);
  expect(lab.sockets('power')).toEqual([]);
});
