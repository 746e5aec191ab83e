/** What the door does on the kernel of the VM: cgroup v2 alone, and interfaces of its own. */
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { codeOf, freshId, type Managed, withManagement } from '../support/management.ts';
import { useRootfs } from '../support/suite.ts';

useRootfs();

const sleeping = { args: ['sleep', '100000'] };

/** A file of the container's cgroup. */
async function cgroupFile(managed: Managed, id: string, file: string): Promise<string> {
  const { cgroup } = await managed.call('container.inspect', { id });
  return await managed.session.uvmSh(`cat ${cgroup?.unified}/${file}`);
}

test('a paused container is frozen by its cgroup, refuses execs, and goes on when it is resumed', async () => {
  await withManagement(async (managed) => {
    const id = freshId('pause');
    await managed.run(id, sleeping);
    await managed.call('container.pause', { id });
    expect(await cgroupFile(managed, id, 'cgroup.events')).toContain('frozen 1');
    const params = { containerId: id, args: ['true'] };
    expect(await codeOf(managed.call('process.execSync', params))).toBe('container-paused');
    await managed.call('container.resume', { id });
    expect(await cgroupFile(managed, id, 'cgroup.events')).toContain('frozen 0');
    expect((await managed.sh(id, 'echo there')).stdout).toBe('there\n');
    // Killed while it is frozen, with all it has started.
    await managed.call('container.pause', { id });
    await managed.call('container.signal', { id, signal: 'KILL', all: true });
    expect(await managed.call('container.wait', { id })).toMatchObject({ exitCode: 137 });
    await managed.call('container.delete', { id });
  });
});

test('a kill for want of memory is in the figures, the events and the state', async () => {
  await withManagement(async (managed) => {
    const id = freshId('oom');
    const { epoch, next } = await managed.call('events.subscribe', {});
    const memory = { limit: 32 * 1024 * 1024, swap: 32 * 1024 * 1024 };
    const script = 'tail /dev/zero; echo over; exec sleep 100000';
    const init = await managed.run(id, { args: script, resources: { memory } }, { stdout: true });
    for await (const chunk of init.stdout ?? []) {
      if (String(chunk).includes('over')) break;
    }
    for await (const item of managed.client.events({ from: Number(next), epoch })) {
      if (item.type === 'event' && item.kind === 'oom' && item.containerId === id) break;
    }
    const { stats } = await managed.call('container.stats', { ids: [id] });
    expect(stats).toMatchObject([
      {
        id,
        oomKills: 1,
        memoryEvents: { oomKill: 1 },
        metrics: { memory: { usage: { limit: memory.limit } } },
      },
    ]);
    expect(Number(stats[0]?.memoryEvents?.max)).toBeGreaterThan(0);
    await managed.remove(id);
    const greedy = freshId('oom');
    await managed.run(greedy, { args: 'exec tail /dev/zero', resources: { memory } });
    expect(await managed.call('container.wait', { id: greedy })).toMatchObject({
      exitCode: 137,
      oomKilled: true,
    });
    await managed.call('container.delete', { id: greedy });
  });
});

test('the figures of a container’s interface are those of its traffic', async () => {
  await withManagement(async (managed) => {
    const id = freshId('net');
    const { pid } = await managed.run(id, sleeping);
    // The guest's ip takes no name for the other end.
    await managed.session.uvmSh(`set -e; ip link add gcsk0 type veth; cd /sys/class/net
peer=$(grep -lx "$(cat gcsk0/iflink)" */ifindex | cut -d/ -f1)
ip link set $peer name eth9; ip link set eth9 netns ${pid}
ip addr add 10.99.0.1/24 dev gcsk0; ip link set gcsk0 up`);
    await managed.session.uvmSh(
      `nsenter -t ${pid} -n sh -c 'ip addr add 10.99.0.2/24 dev eth9; ip link set eth9 up'`,
    );
    expect((await managed.sh(id, 'ping -c 3 10.99.0.1')).exitCode).toBe(0);
    const counters = async (): Promise<Record<string, number>> => {
      const { stdout } = await managed.sh(id, "sed -n 's/^ *eth9: *//p' /proc/net/dev");
      const [rxBytes = 0, rxPackets = 0, , , , , , , txBytes = 0, txPackets = 0] = stdout
        .trim()
        .split(/\s+/)
        .map(Number);
      return { rxBytes, rxPackets, txBytes, txPackets };
    };
    const before = await counters();
    const { stats } = await managed.call('container.stats', { ids: [id] });
    const after = await counters();
    const [adapter] = stats[0]?.network ?? [];
    expect(stats[0]?.network).toHaveLength(1);
    expect(adapter).toMatchObject({ name: 'eth9' });
    // Its own messages of IPv6 may be under way between the looks.
    for (const name of ['rxBytes', 'rxPackets', 'txBytes', 'txPackets'] as const) {
      const value = Number(adapter?.[name]);
      expect(value).toBeGreaterThanOrEqual(before[name] ?? 0);
      expect(value).toBeLessThanOrEqual(after[name] ?? 0);
    }
    expect(Number(adapter?.txPackets)).toBeGreaterThanOrEqual(3);
    expect(Number(adapter?.rxBytes)).toBeGreaterThanOrEqual(3 * 98);
    await managed.remove(id);
  });
});

test('when the time of an execSync is up, all of its process group is gone', async () => {
  await withManagement(async (managed) => {
    const id = freshId('sync');
    await managed.run(id, sleeping);
    const args = ['sh', '-c', 'echo begun; sleep 54321 & sleep 54321'];
    const params = { containerId: id, args, timeoutMs: 15_000 };
    const result = await managed.call('process.execSync', params);
    expect(result).toMatchObject({ timedOut: true, exitCode: 137 });
    expect(String(result.stdout)).toBe('begun\n');
    const { processes } = await managed.call('container.processes', { id });
    expect(processes.map(({ commandLine }) => commandLine.join(' '))).toEqual(['sleep 100000']);
    await managed.remove(id);
  });
});

test('a follower of a log that is rotated has each line once, in order', async () => {
  await withManagement(async (managed) => {
    const id = freshId('rotated');
    const path = `/run/${id}.log`;
    const lines = 2000;
    // Told line by line by who follows: no file is rotated away before it was read.
    const script = `i=0; while [ $i -lt ${lines} ]; do i=$((i + 1)); echo line $i; [ $((i % 100)) != 0 ] || read go; done`;
    const log = { path, maxBytes: 16_384, maxFiles: 3 };
    await managed.create(id, { args: script }, { log, openStdin: true });
    const init = await managed.client.start(id, { stdin: true });
    const follow = await managed.client.stream('logs.read', { containerId: id, follow: true });
    let rest = '';
    const seen: string[] = [];
    follow.stream.setEncoding('utf8');
    for await (const chunk of follow.stream) {
      const parts = (rest + chunk).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) {
        seen.push(part.replace(/^\S+ stdout F /, ''));
        if (seen.length % 100 === 0) init.stdin?.write('go\n');
      }
    }
    await follow.done;
    expect(seen).toEqual(Array.from({ length: lines }, (_, index) => `line ${index + 1}`));
    const files = (await managed.session.uvmSh(`cd /run; ls ${id}.log*`)).trim().split('\n');
    expect(files).toEqual([`${id}.log`, `${id}.log.1`, `${id}.log.2`]);
    init.stdin?.end();
    await managed.call('container.delete', { id });
    await managed.session.uvmSh(`rm -f ${path} ${path}.*`);
  });
});

test('a stop waits for who obeys and kills who does not', async () => {
  await withManagement(async (managed) => {
    const stopped = async (script: string, timeoutMs: number): Promise<number | undefined> => {
      const id = freshId('stop');
      const init = await managed.run(
        id,
        { args: `${script}; echo up; sleep 100000 & wait; wait` },
        { stdout: true },
      );
      if (init.stdout !== undefined) await once(init.stdout, 'data');
      const { exit } = await managed.call('container.stop', { id, timeoutMs });
      await managed.call('container.delete', { id });
      return exit?.exitCode;
    };
    expect(await stopped('trap "exit 7" TERM', 120_000)).toBe(7);
    expect(await stopped('trap "" TERM', 200)).toBe(137);
  });
});

test('who comes back has the events it has missed, and no other', async () => {
  await withManagement(async (managed) => {
    const id = freshId('missed');
    const first = await managed.connect();
    const { epoch, next } = await first.call('events.subscribe', {});
    first.close();
    await managed.run(id, { args: 'exit 6' });
    await managed.call('container.wait', { id });
    await managed.call('container.delete', { id });
    const kinds: string[] = [];
    for await (const item of managed.client.events({ from: Number(next), epoch })) {
      if (item.type !== 'event') throw new Error('a gap');
      if (item.containerId === id) kinds.push(item.kind);
      if (item.kind === 'delete') break;
    }
    expect(kinds).toEqual(['create', 'start', 'exit', 'delete']);
  });
});
