import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from './progress.mjs';

/** Debian package → the file that shows it is there, on any distribution. */
const NEEDED = [
  { name: 'runc', command: 'runc' },
  // A second OCI runtime: the tests run containers with both.
  { name: 'crun', command: 'crun' },
  { name: 'busybox-static', command: 'busybox' },
  // The tests ask it what the agent has configured.
  { name: 'iproute2', command: 'ip' },
  { name: 'gcc', command: 'gcc' },
  { name: 'libc6-dev', file: '/usr/include/stdio.h' },
  // Disks of the tests, and a 9p server.
  { name: 'xfsprogs', command: 'mkfs.xfs' },
  { name: 'squashfs-tools', command: 'mksquashfs' },
  { name: 'diod', command: 'diod' },
  // Says whether what we make of image layers is what it would make.
  { name: 'cryptsetup-bin', command: 'veritysetup' },
  // An engine that nobody here wrote drives the agent.
  { name: 'podman', command: 'podman' },
  // The VM: its init, its image, and what runs it.
  { name: 'musl-tools', command: 'musl-gcc' },
  { name: 'binutils', command: 'readelf' },
  { name: 'erofs-utils', command: 'mkfs.erofs' },
  { name: 'xz-utils', command: 'xz' },
  process.arch === 'arm64'
    ? { name: 'qemu-system-arm', command: 'qemu-system-aarch64' }
    : { name: 'qemu-system-x86', command: 'qemu-system-x86_64' },
];

const DIRECTORIES = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/sbin'];

function present({ command, file }) {
  if (file) return existsSync(file);
  return DIRECTORIES.some((directory) => existsSync(join(directory, command)));
}

function apt(args) {
  console.error(`$ apt-get ${args.join(' ')}`);
  const result = spawnSync('apt-get', args, {
    stdio: ['inherit', 2, 2],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  return result.status === 0;
}

function haveLists() {
  const directory = '/var/lib/apt/lists';
  return existsSync(directory) && readdirSync(directory).some((name) => /_Packages/.test(name));
}

function install(names) {
  const packages = ['install', '-y', '--no-install-recommends', ...names];
  // Lists that are there are tried first: fetching them anew takes longer than most installs.
  if (haveLists() && apt(packages)) return;
  if (apt(['update']) && apt(packages)) return;
  throw new SetupError(
    `apt-get could not install ${names.join(' ')} (its own message is above). ` +
      'Is there a network, and a mirror in /etc/apt? Installed by hand they do as well.',
  );
}

export function ensureDebianPackages(progress) {
  const missing = NEEDED.filter((entry) => !present(entry)).map((entry) => entry.name);
  if (missing.length === 0) {
    progress.fine('packages', NEEDED.map((entry) => entry.name).join(' '));
    return;
  }
  if (!present({ command: 'apt-get' })) {
    throw new SetupError(
      `this machine has no apt-get. Install what Debian calls ${missing.join(', ')} by hand.`,
    );
  }
  progress.work('packages', `installing ${missing.join(' ')}`, () => install(missing));
}
