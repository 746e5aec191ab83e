/** Pods and what is told of memory, on the kernel of the VM: cgroup v2 alone. */
import '../integration/memory.test.ts';
import '../integration/pods.test.ts';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { expectGuestSuite } from '../support/guest-runner/run.ts';
import { testVm, withSession } from '../support/suite.ts';

test('nothing slows the agent down for its own use of memory', () =>
  withSession(async (s) => {
    const high = await s.uvmSh('cat /sys/fs/cgroup/gcs/memory.high');
    const type = await s.uvmSh("grep ' /sys/fs/cgroup ' /proc/mounts | cut -d' ' -f3");
    expect({ high, type }).toEqual({ high: 'max\n', type: 'cgroup2\n' });
    // It asks to be told instead.
    const open = await s.uvmSh('ls -l /proc/$PPID/fd | grep -c /gcs/memory.pressure');
    expect(open).toBe('1\n');
  }));

test('an agent that waits for memory while it uses more than it should says so', async () => {
  const suite = join(import.meta.dirname, '../support/agent-memory-cases.ts');
  await expectGuestSuite(testVm ?? expect.unreachable(), { entries: { suite }, atLeast: 1 });
});
