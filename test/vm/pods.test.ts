/** Pods and what is told of memory, on the kernel of the VM: cgroup v2 alone. */
import '../integration/memory.test.ts';
import '../integration/pods.test.ts';
import { expect, test } from 'vitest';
import { withSession } from '../support/suite.ts';

test('nothing slows the agent down for its own use of memory', () =>
  withSession(async (s) => {
    const high = await s.uvmSh('cat /sys/fs/cgroup/gcs/memory.high');
    const type = await s.uvmSh("grep ' /sys/fs/cgroup ' /proc/mounts | cut -d' ' -f3");
    expect({ high, type }).toEqual({ high: 'max\n', type: 'cgroup2\n' });
    // It asks to be told instead.
    const open = await s.uvmSh('ls -l /proc/$PPID/fd | grep -c /gcs/memory.pressure');
    expect(open).toBe('1\n');
  }));
