/** The agent dies under its containers; init starts another one. */
import { expect, test } from 'vitest';
import { makeSpec } from '../support/bundle.ts';
import { Session, testVm } from '../support/suite.ts';
import { GUEST_ROOTFS, inGuest, openVm, useGuestRootfs } from '../support/vm-agent.ts';

const vm = testVm ?? expect.unreachable('these tests need a VM');

test('the agent is killed while a container runs: it goes on, and a new agent negotiates', async () => {
  await useGuestRootfs(vm);
  const first = await openVm(vm);
  const session = new Session(first);
  const before = await session.agentPid();
  await session.createFrom(
    'survivor',
    makeSpec({ rootPath: GUEST_ROOTFS, args: ['sleep', '100000'] }),
  );
  const init = await session.startInit('survivor', {});
  const lost = first.bridge.closed;
  await session
    .execInUvm({ CommandArgs: ['/bin/sh', '-c', 'kill -9 $PPID'] }, {})
    .catch(() => undefined); // It may die before it replies.
  await lost;
  await first[Symbol.asyncDispose]();

  await using second = await openVm(vm);
  const after = new Session(second);
  expect(await after.agentPid()).not.toBe(before);
  expect(await after.uvmSh(`cat /proc/${init.pid}/cmdline | tr '\\0' ' '`)).toBe('sleep 100000 ');
  // Init keeps the end of every process that is not its own: the killed script's too.
  expect(await after.uvmSh('ls /run/gcs/exits | wc -l')).not.toBe('0\n');
  await after.uvmSh(
    'runc delete -f survivor; rm -rf /run/gcsrunc/survivor /run/gcs/c/survivor; true',
  );
  expect(await after.uvmSh(`test -e /proc/${init.pid} && echo there || echo gone`)).toBe('gone\n');
});

test('the guest has cgroup v2 with its controllers for containers', async () => {
  const controllers = await inGuest(vm, 'cat /sys/fs/cgroup/cgroup.subtree_control');
  for (const name of ['cpu', 'memory', 'pids', 'io']) expect(controllers).toContain(name);
});

test('programs and modules that storage and network need are there', async () => {
  const script = `set -e
    for p in mkfs.ext4 mkfs.xfs e2fsck resize2fs cryptsetup veritysetup integritysetup dmsetup ip crun runc; do
      command -v $p >/dev/null || echo "no $p"; done
    for m in ext4 xfs 9p 9pnet_virtio virtiofs dm-verity dm-crypt dm-integrity loop veth dummy tun; do
      modprobe $m || echo "no $m"; done
    mkfs.xfs -V >/dev/null; cryptsetup --version >/dev/null; dmsetup --version >/dev/null
    ip link add probe type dummy && ip link del probe`;
  expect(await inGuest(vm, script)).toBe('');
});
