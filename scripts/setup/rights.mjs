import { spawnSync } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { SetupError } from './progress.mjs';

const NAMESPACES = ['--mount', '--pid', '--net', '--uts', '--ipc', '--cgroup', '--fork'];

/** Containers need root, namespaces and cgroups: without one of them nothing else here can work. */
export function checkRights(progress) {
  if (process.platform !== 'linux') {
    throw new SetupError(`this is ${process.platform}: containers need Linux (a VM will do)`);
  }
  if (!['x64', 'arm64'].includes(process.arch)) {
    throw new SetupError(`no Node 24 is pinned for ${process.arch}, only for x64 and arm64`);
  }
  if (process.getuid() !== 0) {
    throw new SetupError('this needs root, to make namespaces and cgroups: sudo npm start');
  }
  const probe = spawnSync('unshare', [...NAMESPACES, 'true'], { encoding: 'utf8' });
  if (probe.error) throw new SetupError('unshare(1) is missing: apt-get install util-linux');
  if (probe.status !== 0) {
    throw new SetupError(
      `no new namespaces can be made here (${probe.stderr.trim()}): ` +
        'run on a machine or VM, or in a container with all rights (docker run --privileged)',
    );
  }
  progress.fine('rights', `root, namespaces, cgroup ${cgroupVersion()}`);
}

function cgroupVersion() {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => ({ point: line.split(' ')[4], type: line.split(' - ')[1]?.split(' ')[0] }));
  // Hierarchies that carry controllers: v2 beside v1 ("hybrid") has none.
  const v1 = mounts.find(({ type }) => type === 'cgroup');
  const mount = v1 ?? mounts.find(({ type }) => type === 'cgroup2');
  if (!mount) {
    throw new SetupError('no cgroup hierarchy is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup');
  }
  try {
    accessSync(mount.point, constants.W_OK);
  } catch {
    throw new SetupError(
      `${mount.point} is mounted read-only: in a container, give it all rights ` +
        '(docker run --privileged --cgroupns=private)',
    );
  }
  return v1 ? 'v1' : 'v2';
}
