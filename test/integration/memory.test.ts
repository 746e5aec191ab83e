import { expect, test, vi } from 'vitest';
import { annotation } from '../../src/spec/annotations.ts';
import { NULL_CONTAINER, RAW } from '../support/raw-client.ts';
import { firstData, OutputSoFar } from '../support/raw-flows.ts';
import { type Session, spec, testOutsideVm, useRootfs, withSession } from '../support/suite.ts';
import { withSupervised } from '../support/supervised-agent.ts';

useRootfs();

const MiB = 1024 * 1024;
const memory = { limit: 16 * MiB, swap: 16 * MiB };

async function resultInfo(s: Session, id: string): Promise<unknown> {
  const { body } = await s.notification(id);
  // A host ends the bridge over one that is not JSON in a string.
  return body.ResultInfo === undefined ? undefined : JSON.parse(body.ResultInfo as string);
}

test('the notification of a container killed for memory says so, that of another does not', () =>
  withSession(async (s) => {
    await s.create('greedy', { args: 'exec tail /dev/zero', resources: { memory } });
    const greedy = await s.startInit('greedy');
    expect((await s.finish('greedy', greedy)).exitCode).toBe(137);
    expect(await resultInfo(s, 'greedy')).toEqual({ OutOfMemory: true, MemoryKills: 1 });
    await s.delete('greedy');

    await s.create('killed', { args: ['sleep', '1000'], resources: { memory } });
    const killed = await s.startInit('killed');
    await s.signal('killed', killed.pid, 9);
    expect((await s.finish('killed', killed)).exitCode).toBe(137);
    expect(await resultInfo(s, 'killed')).toBeUndefined();
    await s.delete('killed');
  }));

test('a container that lives on is not said to have ended for memory; that it had none is seen', () =>
  withSession(async (s) => {
    await s.create('shell', {
      args: 'tail /dev/zero; echo "code $?"; read go; exit 3',
      resources: { memory },
    });
    const init = await s.startInit('shell', { stdin: true, stdout: true });
    const output = new OutputSoFar(init.stdout);
    await output.contains('code 137\n');
    await vi.waitFor(async () => {
      const { GuestStacks } = (await s.call(RAW.dumpStacks, {})).body;
      expect(GuestStacks).toMatch(/container shell running out of memory=[1-9]\d* killed=1/);
    });
    expect((await s.raw.agent.logged('out of memory')).join()).toMatch(/warning.*events=1/);
    init.stdin?.end('go\n');
    expect(await s.wait('shell', init.pid)).toBe(3);
    init.stdin?.destroy();
    expect(await resultInfo(s, 'shell')).toBeUndefined();
    await s.delete('shell');
  }));

test('the limit of a pod ends the container that goes beyond it', () =>
  withSession(async (s) => {
    await s.create('pod', {
      args: 'echo up; exec sleep 1000',
      resources: { memory: { limit: 24 * MiB, swap: 24 * MiB } },
      annotations: { [annotation.containerType]: 'sandbox' },
    });
    const sandbox = await s.startInit('pod');
    await firstData(sandbox.stdout);
    const { hostname: _, ...greedy } = spec({
      args: 'exec tail /dev/zero',
      annotations: { [annotation.containerType]: 'container', [annotation.sandboxId]: 'pod' },
    });
    await s.createFrom('greedy', greedy);
    const init = await s.startInit('greedy');
    expect((await s.finish('greedy', init)).exitCode).toBe(137);
    expect(await resultInfo(s, 'greedy')).toEqual({ OutOfMemory: true, MemoryKills: 1 });
    await s.delete('greedy');
    // Its peer has lived through it.
    await s.killAndDelete('pod', sandbox);
    expect(await resultInfo(s, 'pod')).toBeUndefined();
  }));

/** The limit of all pods, in bytes. */
async function podsLimit(s: Session): Promise<number> {
  const files = '/sys/fs/cgroup/memory/pods/memory.limit_in_bytes /sys/fs/cgroup/pods/memory.max';
  return Number(await s.uvmSh(`cat ${files} 2>/dev/null || :`));
}

const reserve = 128 * MiB;
const managed = {
  args: ['-manage-memory', `-root-mem-reserve-bytes=${reserve}`, '-gcs-mem-limit-bytes=1048576'],
};
const update = {
  Request: { RequestType: 'Update', ResourceType: 'PodCgroupMemoryLimit' },
  ContainerId: NULL_CONTAINER,
};

const ownFlags = 'the agent there has flags of its own';

testOutsideVm(
  ownFlags,
  'on a machine of its own the agent keeps memory from the pods, and follows memory that is plugged in',
  () =>
    withSession(async (s) => {
      const total = 1024 * Number(await s.uvmSh("awk '/^MemTotal/ { print $2 }' /proc/meminfo"));
      expect(await podsLimit(s)).toBe(total - reserve);

      const claim = (bytes: number) =>
        s.uvmSh(`sed 's/^MemTotal.*/MemTotal: ${bytes / 1024} kB/' /proc/meminfo >/run/new;
          cat /run/new >/run/meminfo; rm /run/new;
          grep -q meminfo /proc/self/mounts || mount --bind /run/meminfo /proc/meminfo`);
      await claim(total + 256 * MiB);
      await s.call(RAW.modifySettings, update);
      expect(await podsLimit(s)).toBe(total + 256 * MiB - reserve);
      // As the kernel announces a block of memory, and anything else.
      await claim(total + 512 * MiB);
      await s.uvmSh('echo change >/sys/devices/virtual/mem/null/uevent');
      await vi.waitFor(async () => expect(await podsLimit(s)).toBe(total + 512 * MiB - reserve));
      await claim(reserve);
      await expect(s.call(RAW.modifySettings, update)).rejects.toThrow(/no more than the reserve/);
      await s.uvmSh('umount /proc/meminfo; rm /run/meminfo');
    }, managed),
);

testOutsideVm(
  ownFlags,
  'the next agent goes on with the limit of all pods, which is never away, and is in its cgroup alone',
  () =>
    withSupervised({ args: managed.args }, async (s) => {
      const total = 1024 * Number(await s.uvmSh("awk '/^MemTotal/ { print $2 }' /proc/meminfo"));
      const cgroups = async () => {
        const found = await s.uvmSh(
          'cd /sys/fs/cgroup/memory 2>/dev/null || cd /sys/fs/cgroup; find gcs pods -type d',
        );
        return found.trim().split('\n').sort();
      };
      await s.create('c1', { args: ['sleep', '1000'] });
      const init = await s.startInit('c1');
      for (let kill = 0; kill < 3; kill += 1) {
        await s.supervised.replace();
        expect(await podsLimit(s)).toBe(total - reserve);
        expect(await cgroups()).toEqual(['gcs', 'pods', 'pods/c1']);
        expect(await s.uvmSh('cat /proc/$PPID/cgroup')).toMatch(/(memory|^0:):\/gcs$/m);
        await s.call(RAW.modifySettings, update);
      }
      expect(s.supervised.log).not.toContain('memory is not managed');
      expect(s.supervised.log.match(/msg="memory for pods" bytes=/g)).toHaveLength(4);
      expect(s.supervised.log).not.toContain('pods are out of memory');
      await s.killAndDelete('c1', init);
    }),
);

testOutsideVm(
  ownFlags,
  'on a machine of its own it is in a cgroup of its own and says when it uses more than it should',
  () =>
    withSession(async (s) => {
      const self = await s.uvmSh('cat /proc/$PPID/cgroup');
      expect(self).toMatch(/(memory|^0:):\/gcs$/m);
      await s.create('c', { args: 'true' });
      const init = await s.startInit('c');
      await s.finish('c', init);
      await s.delete('c');
      await vi.waitFor(async () => {
        const told = await s.raw.agent.logged('more memory than expected');
        expect(told[0]).toMatch(/level=warning.*threshold=1048576/);
      });
    }, managed),
);

testOutsideVm(
  'there the machine is its own',
  'on a machine of others there is no common limit',
  () =>
    withSession(async (s) => {
      await expect(s.call(RAW.modifySettings, update)).rejects.toThrow(
        expect.objectContaining({ hresult: 0x80004001 }),
      );
      expect(await s.uvmSh('ls -d /sys/fs/cgroup/memory/gcs 2>/dev/null || :')).toBe('');
    }),
);
