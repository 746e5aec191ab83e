/** Pods and what is told of memory, on the kernel of the VM: cgroup v2 alone. */
import '../integration/memory.test.ts';
import '../integration/pods.test.ts';
import { expect, test } from 'vitest';
import { withSession } from '../support/suite.ts';

test('the agent is never slowed down for its own use, and says when memory is short and it uses much', () =>
  withSession(async (s) => {
    const { high, type } = {
      high: await s.uvmSh('cat /sys/fs/cgroup/gcs/memory.high'),
      type: await s.uvmSh("grep ' /sys/fs/cgroup ' /proc/mounts | cut -d' ' -f3"),
    };
    expect({ high, type }).toEqual({ high: 'max\n', type: 'cgroup2\n' });
    // What a machine short of memory does to it, done to it alone: its processes wait for memory.
    const wait = `cd /sys/fs/cgroup/gcs
      echo $(($(cat memory.current) / 2)) >memory.high
      head -c 64m /dev/zero | tail -c 1m | wc -c; echo max >memory.high`;
    expect(await s.uvmSh(wait)).toBe('1048576\n');
    const told = await s.raw.agent.logged('the agent uses more memory than expected');
    expect(told.join()).toMatch(/level=warning .*usage=\d+ threshold=\d+/);
  }));
