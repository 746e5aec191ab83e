import { expect, test } from 'vitest';
import { parseMountInfo } from '../os/mountinfo.ts';
import { cgroupMountsOf } from './hierarchy.ts';
import { cgroupAt } from './make.ts';

const mountinfo = `30 29 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
31 29 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,nosuid,cpu,cpuacct
32 29 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd
33 29 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`;

test('a cgroup has a place in every hierarchy', () => {
  const { controllers, unified } = cgroupAt('/pods/p', cgroupMountsOf(parseMountInfo(mountinfo)));
  expect(Object.fromEntries(controllers)).toEqual({
    memory: '/sys/fs/cgroup/memory/pods/p',
    cpu: '/sys/fs/cgroup/cpu,cpuacct/pods/p',
    cpuacct: '/sys/fs/cgroup/cpu,cpuacct/pods/p',
    'name=systemd': '/sys/fs/cgroup/systemd/pods/p',
  });
  expect(unified).toBe('/sys/fs/cgroup/unified/pods/p');
});
