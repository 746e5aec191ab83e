/** Pods and what is told of memory, on the kernel of the VM: cgroup v2 alone. */
import '../integration/memory.test.ts';
import '../integration/pods.test.ts';
import { expect, test } from 'vitest';
import { withSession } from '../support/suite.ts';

test('the agent is never slowed down for its own use, and says when memory is short and it uses much', () =>
  withSession(async (s) => {
    expect(await s.uvmSh('stat -f -c %T /sys/fs/cgroup; cat /sys/fs/cgroup/gcs/memory.high')).toBe(
      'cgroup2\nmax\n',
    );
    // What a machine short of memory does to it, done to it alone: its processes wait for memory.
    const wait = `cd /sys/fs/cgroup/gcs
      echo $(($(cat memory.current) / 2)) >memory.high
      head -c 64m /dev/zero | tail -c 1m | wc -c; echo max >memory.high`;
    expect(await s.uvmSh(wait)).toBe('1048576\n');
    const told = await s.raw.agent.logged('the agent uses more memory than expected');
    expect(told.join()).toMatch(/level=warning .*usage=\d+ threshold=\d+/);
  }));
