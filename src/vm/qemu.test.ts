import { expect, test } from 'vitest';
import type { VmImage } from './image.ts';
import { kernelCommandLine, type QemuOptions, qemuArguments } from './qemu.ts';

const image: VmImage = {
  directory: '/i',
  architecture: 'amd64',
  kernel: '/i/vmlinux',
  initramfs: '/i/initramfs.img',
  root: '/i/a,b/root.erofs',
  commandLine: 'console=ttyS0',
};

const options: QemuOptions = {
  name: 'web',
  image,
  acceleration: 'tcg',
  memory: 512,
  maxMemory: undefined,
  cpus: 2,
  transport: 'hybrid',
  cid: 7,
  deviceSocket: '/d/device',
  qmpSocket: '/d/qmp',
  commandLine: 'console=ttyS0 -- /bin/gcs',
};

test('our device gets the guest’s memory shared; a comma in a path is the path’s own', () => {
  const text = qemuArguments(options).join(' ');
  expect(text).toContain('memory-backend-memfd,id=mem,size=512M,share=on');
  expect(text).toContain('socket,id=vsock,path=/d/device -device vhost-user-vsock-pci');
  expect(text).toContain('file=/i/a,,b/root.erofs,format=raw,readonly=on');
  expect(text).toContain('-accel tcg,thread=multi -cpu max');
});

test('with the kernel’s vsock the guest has its context identifier and no device of ours', () => {
  const text = qemuArguments({ ...options, transport: 'vsock', acceleration: 'kvm' }).join(' ');
  expect(text).toContain('vhost-vsock-pci,guest-cid=7');
  expect(text).not.toContain('vhost-user');
  expect(text).toContain('-accel kvm -cpu host');
});

test('memory can be plugged in only where room for it was asked for', () => {
  expect(qemuArguments(options).join(' ')).not.toMatch(/maxmem|nvdimm/);
  const text = qemuArguments({ ...options, maxMemory: 2048 }).join(' ');
  expect(text).toContain('-m 512M,slots=4,maxmem=2048M');
  expect(text).toContain('nvdimm=on');
});

test('there is a SCSI controller for disks to come', () => {
  expect(qemuArguments(options).join(' ')).toContain('-device virtio-scsi-pci,id=scsi0');
});

test('without a root image the initramfs is all there is', () => {
  const text = qemuArguments({ ...options, image: { ...image, root: undefined } }).join(' ');
  expect(text).not.toContain('-drive');
});

test('init’s arguments stand behind the kernel’s, in the form of LCOW', () => {
  const command = { agentArguments: ['-loglevel', 'debug'], append: 'a=b', shell: true };
  expect(kernelCommandLine('quiet', { ...command, transport: 'listen' })).toBe(
    'quiet a=b -- -e 1 -d /bin/sh /bin/vsockexec -e 109 ' +
      '/bin/gcs -v4 -log-format json -loglevel debug -listen',
  );
});

test('an interpreted arm64 does not have to compute the signatures of pointers', () => {
  const other = { ...options, image: { ...image, architecture: 'arm64' as const } };
  const text = qemuArguments(other).join(' ');
  expect(text).toContain('-machine virt,');
  expect(text).toContain('-cpu max,pauth-impdef=on');
});
