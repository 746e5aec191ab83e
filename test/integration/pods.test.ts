import { expect, test } from 'vitest';
import { annotation } from '../../src/spec/annotations.ts';
import type { OciMount } from '../../src/spec/oci.ts';
import { withRawAgent } from '../support/agent-process.ts';
import type { SpecOptions } from '../support/bundle.ts';
import { RAW } from '../support/raw-client.ts';
import { firstData, type RawProcess } from '../support/raw-flows.ts';
import {
  bundleOf,
  Session,
  spec,
  testOutsideVm,
  useRootfs,
  withSession,
} from '../support/suite.ts';

useRootfs();

const sandboxType = { [annotation.containerType]: 'sandbox' };
const inPod = (sandbox: string, more: Record<string, string> = {}) => ({
  [annotation.containerType]: 'container',
  [annotation.sandboxId]: sandbox,
  ...more,
});

const failsWith = (hresult: number, text: string) =>
  expect.objectContaining({ hresult, message: expect.stringContaining(text) });
const invalidArgument = (text: string) => failsWith(0x80070057, text);

/** A sandbox that runs until it is killed. */
async function startSandbox(
  s: Session,
  id: string,
  options: Partial<SpecOptions> = {},
): Promise<RawProcess> {
  await s.create(id, {
    args: 'echo up; exec sleep 1000',
    hostname: 'podhost',
    ...options,
    annotations: { ...sandboxType, ...options.annotations },
  });
  const init = await s.startInit(id);
  await firstData(init.stdout);
  return init;
}

/** The spec of a container in a pod: its name is that of the pod. */
function workloadSpec(options: SpecOptions): object {
  const { hostname: _, ...rest } = spec(options);
  return rest;
}

/** Runs a script as a container of the pod; resolves with its output, the container deleted. */
async function runInPod(
  s: Session,
  sandbox: string,
  id: string,
  script: string,
  options: Partial<SpecOptions> = {},
): Promise<string> {
  await s.createFrom(
    id,
    workloadSpec({
      args: script,
      ...options,
      annotations: inPod(sandbox, options.annotations),
    }),
  );
  const init = await s.startInit(id);
  const { exitCode, stdout, stderr } = await s.finish(id, init);
  await s.delete(id);
  if (exitCode !== 0) throw new Error(`exit code ${exitCode}: ${stdout}${stderr}`);
  return stdout;
}

const bind = (source: string, destination: string, ...options: string[]): OciMount => ({
  destination,
  type: 'bind',
  source,
  options: ['rbind', ...options],
});

test('containers of a pod share its files, its names and its network files', () =>
  withSession(async (s) => {
    const init = await startSandbox(s, 'pod');
    const mounts = [bind('sandbox://shared/deep', '/shared'), bind('sandbox-tmp://t', '/t')];
    await runInPod(s, 'pod', 'a', 'echo from-a >/shared/f; echo tmp >/t/f; stat -c %a /shared', {
      mounts,
    }).then((mode) => expect(mode).toBe('777\n'));
    const script =
      'cat /shared/f /t/f /etc/hostname; grep podhost /etc/hosts; grep -c " /t " /proc/mounts';
    expect(await runInPod(s, 'pod', 'b', script, { mounts })).toBe(
      'from-a\ntmp\npodhost\n127.0.0.1 podhost\n1\n',
    );
    expect(await s.uvmSh(`cat ${bundleOf('pod')}/sandboxMounts/shared/deep/f`)).toBe('from-a\n');
    expect(await s.uvmSh(`stat -f -c %T ${bundleOf('pod')}/sandboxTmpfsMounts`)).toBe('tmpfs\n');
    await s.killAndDelete('pod', init);
    expect(await s.uvmSh('ls /run/gcs/c; grep -c run/gcs /proc/self/mountinfo || :')).toBe('0\n');
  }));

test('what one container mounts in a shared directory, the next one sees', () =>
  withSession(async (s) => {
    const init = await startSandbox(s, 'pod');
    await s.uvmSh(`mkdir -m 777 ${bundleOf('pod')}/sandboxMounts/m`);
    await s.createFrom(
      'watcher',
      workloadSpec({
        args: 'echo up; read go; cat /m/inner/f',
        mounts: [bind('sandbox://m', '/m', 'rslave')],
        annotations: inPod('pod'),
      }),
    );
    const watcher = await s.startInit('watcher', { stdin: true, stdout: true });
    const target = `${bundleOf('pod')}/sandboxMounts/m/inner`;
    await s.uvmSh(`mkdir ${target}; mount -t tmpfs tmpfs ${target}; echo seen >${target}/f`);
    watcher.stdin?.end('go\n');
    expect((await s.finish('watcher', watcher)).stdout).toBe('up\nseen\n');
    await s.delete('watcher');
    // It goes with the pod, whoever mounted it.
    await s.killAndDelete('pod', init);
  }));

test('a sandbox with containers in it is not deleted, and says which', () =>
  withSession(async (s) => {
    const init = await startSandbox(s, 'pod');
    await s.createFrom('w1', workloadSpec({ args: ['sleep', '9'], annotations: inPod('pod') }));
    await s.signal('pod', init.pid, 9);
    await s.finish('pod', init);
    await expect(s.delete('pod')).rejects.toThrow(
      failsWith(0x80370105, 'sandbox pod still has containers: w1'),
    );
    const { GuestStacks } = (await s.call(RAW.dumpStacks, {})).body as { GuestStacks: string };
    expect(GuestStacks).toContain('pod: sandbox pod, containers: w1');
    await s.delete('w1');
    await s.delete('pod');
  }));

testOutsideVm(
  'it is started again',
  'an agent that ends takes its pods with it, the sandbox last',
  () =>
    withRawAgent({}, async (raw) => {
      const s = new Session(raw);
      await startSandbox(s, 'pod');
      await s.createFrom(
        'w1',
        workloadSpec({
          args: ['sleep', '9'],
          mounts: [bind('sandbox://x', '/x')],
          annotations: inPod('pod'),
        }),
      );
      const { agent } = raw;
      agent.kill();
      expect(await agent.exited).toEqual({ code: 0, signal: null });
      // What could not be removed would have been named.
      expect(agent.log).not.toMatch(/level=(error|warning).*(stays|not removed|cannot be removed)/);
      expect(agent.log).toMatch(/containerId=w1.*containerId=pod.*agent ends/s);
    }),
);

test('several pods in one VM, told apart by their ids', () =>
  withSession(async (s) => {
    const virtual = (pod: string) => ({ [annotation.virtualPodId]: pod });
    const inits = new Map<string, RawProcess>();
    for (const pod of ['vp1', 'vp2']) {
      inits.set(pod, await startSandbox(s, pod, { hostname: pod, annotations: virtual(pod) }));
    }
    const mounts = [bind('sandbox://d', '/d')];
    for (const pod of ['vp1', 'vp2']) {
      const script = 'cat /etc/hostname >/d/who; cat /d/who';
      const annotations = virtual(pod);
      expect(await runInPod(s, 'vp1', `in-${pod}`, script, { mounts, annotations })).toBe(
        `${pod}\n`,
      );
    }
    expect(await s.uvmSh('cat /run/gcs/c/virtual-pods/*/sandboxMounts/d/who')).toBe('vp1\nvp2\n');
    // One sandbox a pod.
    await expect(
      s.create('other', { args: 'true', annotations: { ...sandboxType, ...virtual('vp1') } }),
    ).rejects.toThrow(failsWith(0xc037010f, 'pod vp1 has a sandbox: vp1'));
    for (const [pod, init] of inits) await s.killAndDelete(pod, init);
    expect(await s.uvmSh('ls /run/gcs/c')).toBe('');
  }));

test('the limits of a sandbox hold for its pod; containers have cgroups below it', () =>
  withSession(async (s) => {
    const limit = 64 * 1024 * 1024;
    const init = await startSandbox(s, 'pod', {
      resources: { memory: { limit }, pids: { limit: 77 }, cpu: { shares: 256 } },
    });
    await s.createFrom('w', workloadSpec({ args: ['sleep', '9'], annotations: inPod('pod') }));
    const cgroups = '/sys/fs/cgroup';
    const read = async (v1: string, v2: string) =>
      (await s.uvmSh(`cat ${cgroups}/${v1} 2>/dev/null || cat ${cgroups}/${v2}`)).trim();
    expect(await read('memory/pods/pod/memory.limit_in_bytes', 'pods/pod/memory.max')).toBe(
      `${limit}`,
    );
    expect(await read('pids/pods/pod/pids.max', 'pods/pod/pids.max')).toBe('77');
    expect(
      await s.uvmSh(`ls -d ${cgroups}/*/pods/pod/w ${cgroups}/pods/pod/w 2>/dev/null || :`),
    ).toContain('/pods/pod/w');
    await s.delete('w');
    await s.killAndDelete('pod', init);
    expect(await s.uvmSh(`ls -d ${cgroups}/*/pods/pod ${cgroups}/pods/pod 2>/dev/null || :`)).toBe(
      '',
    );
  }));

test('containers of a pod have the network of the VM where their sandbox says so', () =>
  withSession(async (s) => {
    const annotations = { [annotation.hostNetwork]: 'true' };
    const init = await startSandbox(s, 'pod', { annotations });
    const script = 'readlink /proc/self/ns/net';
    expect(await runInPod(s, 'pod', 'w', script)).toBe(await s.uvmSh(script));
    await s.killAndDelete('pod', init);
  }));

test('/dev/shm has the size the annotation says', () =>
  withSession(async (s) => {
    const init = await startSandbox(s, 'pod');
    const annotations = { [annotation.shmSizeKb]: '2048' };
    const script = 'df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2; stat -c %a /dev/shm';
    expect(await runInPod(s, 'pod', 'w', script, { annotations })).toBe('2048\n1777\n');
    await s.killAndDelete('pod', init);
  }));

test('a privileged container has the devices of the VM, another has not', () =>
  withSession(async (s) => {
    const init = await startSandbox(s, 'pod');
    const node = '/dev/gcs-test-device';
    await s.uvmSh(`mount -t tmpfs tmpfs /dev/shm; mknod ${node} c 1 5`);
    try {
      const script = `if [ -c ${node} ]; then head -c 3 ${node} | wc -c; else echo none; fi`;
      const privileged = { annotations: { [annotation.privileged]: 'true' } };
      expect(await runInPod(s, 'pod', 'with', script, privileged)).toBe('3\n');
      expect(await runInPod(s, 'pod', 'without', script)).toBe('none\n');
    } finally {
      await s.uvmSh(`rm ${node}; umount /dev/shm`);
    }
    await s.killAndDelete('pod', init);
  }));

test('a device is given as it is in the VM, whatever its numbers elsewhere', () =>
  withSession(async (s) => {
    const init = await startSandbox(s, 'pod');
    const named = workloadSpec({
      args: 'head -c 2 /dev/zero | wc -c',
      annotations: inPod('pod'),
    }) as { linux: { devices?: object[] } };
    named.linux.devices = [{ path: '/dev/zero', type: 'c', major: 1, minor: 3 }];
    await s.createFrom('w', named);
    const process = await s.startInit('w');
    expect((await s.finish('w', process)).stdout).toBe('2\n');
    await s.delete('w');
    await s.killAndDelete('pod', init);
  }));

test('output is also written to the log of the pod, which another container reads', () =>
  withSession(async (s) => {
    const init = await startSandbox(s, 'pod');
    const tee = { annotations: { [annotation.teeLogPath]: 'dir/a.log' } };
    expect(await runInPod(s, 'pod', 'a', 'echo out; echo err >&2; echo more', tee)).toBe(
      'out\nmore\n',
    );
    const reading = { annotations: { [annotation.teeLogDirMount]: 'var/logs' } };
    const log = await runInPod(s, 'pod', 'b', 'sort /var/logs/dir/a.log', reading);
    expect(log).toBe('err\nmore\nout\n');
    // Appended to, also without anybody who listens, and from a terminal.
    await s.createFrom(
      'c',
      workloadSpec({
        args: 'echo tty',
        terminal: true,
        annotations: inPod('pod', tee.annotations),
      }),
    );
    const silent = await s.startInit('c', {});
    await s.finish('c', silent);
    await s.delete('c');
    expect(await runInPod(s, 'pod', 'd', 'tail -n 1 /var/logs/dir/a.log', reading)).toMatch(/^tty/);
    await s.killAndDelete('pod', init);
  }));

test('a container without a pod has a log of its own', () =>
  withSession(async (s) => {
    const annotations = { [annotation.teeLogPath]: 'own.log' };
    await s.create('alone', { args: 'echo alone', annotations });
    const init = await s.startInit('alone', {});
    await s.finish('alone', init);
    expect(await s.uvmSh(`cat ${bundleOf('alone')}/logs/own.log`)).toBe('alone\n');
    await s.delete('alone');
    expect(await s.uvmSh('ls /run/gcs/c')).toBe('');
  }));

test('links that a container makes lead no other out of the pod', () =>
  withSession(async (s) => {
    const init = await startSandbox(s, 'pod');
    const mounts = [bind('sandbox://d', '/d')];
    await runInPod(s, 'pod', 'evil', 'ln -s / /d/out; mkfifo /d/fifo; echo x >/d/file', { mounts });
    const at = 'OciSpecification.mounts[5].source';
    for (const source of ['sandbox://d/out', 'sandbox://d/out/etc', 'sandbox://d/file/x']) {
      await expect(
        runInPod(s, 'pod', 'victim', 'true', { mounts: [bind(source, '/x')] }),
      ).rejects.toThrow(invalidArgument(at));
    }
    // The log directory is theirs as well.
    const logs = { annotations: { [annotation.teeLogDirMount]: '/l' } };
    const script = 'ln -s /etc /l/dir; ln -s /etc/passwd /l/link; mkfifo /l/fifo; mkdir /l/d';
    await runInPod(s, 'pod', 'evil', script, logs);
    for (const path of ['dir/x', 'link', 'fifo', 'd', 'fifo/x']) {
      const annotations = { [annotation.teeLogPath]: path };
      await expect(runInPod(s, 'pod', 'victim', 'true', { annotations })).rejects.toThrow(
        invalidArgument(`annotations.${annotation.teeLogPath}`),
      );
    }
    // A file is as good a source as a directory.
    const file = { mounts: [bind('sandbox://d/file', '/f')] };
    expect(await runInPod(s, 'pod', 'reader', 'cat /f', file)).toBe('x\n');
    await s.killAndDelete('pod', init);
  }));

const REFUSED: readonly [string, Partial<SpecOptions>, string][] = [
  ['a mount that leaves its root', { mounts: [bind('sandbox://../x', '/x')] }, 'mounts[5].source'],
  [
    'a mount that is not there',
    { mounts: [bind('sandbox://made', '/m'), bind('uvm:///none', '/x')] },
    'mounts[6].source',
  ],
  ['shared memory of no size', { annotations: { [annotation.shmSizeKb]: '0' } }, 'size-kb'],
  [
    'a log beside the logs',
    { annotations: { [annotation.teeLogPath]: '../x' } },
    annotation.teeLogPath,
  ],
  ['core dumps of no limit', { annotations: { [annotation.rlimitCore]: 'x' } }, 'rlimitcore'],
  ['a variable without a value', { env: ['NOTHING'] }, 'process.env'],
  ['no sandbox', { annotations: { [annotation.sandboxId]: 'none' } }, 'sandbox-id'],
];

/** What the agent may leave in the VM. */
const traceOf = (s: Session): Promise<string> =>
  s.uvmSh('cat /proc/self/mountinfo; find /run/gcs -path /run/gcs/state/p -prune -o -print');

test('containers that are refused leave nothing behind, and their pod goes on', () =>
  withSession(async (s) => {
    const init = await startSandbox(s, 'pod');
    const before = await traceOf(s);
    for (const [what, options, named] of REFUSED) {
      const refused = runInPod(s, 'pod', 'w', 'true', options);
      await expect(refused, what).rejects.toThrow(invalidArgument(named));
      expect(await traceOf(s), what).toBe(before);
    }
    expect(await runInPod(s, 'pod', 'w', 'echo well')).toBe('well\n');
    await s.killAndDelete('pod', init);
  }));

test('a container that cannot be created leaves nothing in its pod', () =>
  withSession(async (s) => {
    const init = await startSandbox(s, 'pod');
    const before = await traceOf(s);
    const broken = workloadSpec({
      args: ['/no/such/program'],
      mounts: [bind('sandbox://a/b/c', '/m')],
      annotations: inPod('pod', { [annotation.teeLogPath]: 'x/y/z.log' }),
    });
    await expect(s.createFrom('w', broken)).rejects.toThrow(/no such file/);
    expect(await traceOf(s)).toBe(before);
    await s.killAndDelete('pod', init);
  }));

test('a sandbox that cannot be created leaves no pod', () =>
  withSession(async (s) => {
    const broken = { args: ['/no/such/program'], annotations: sandboxType };
    await expect(s.create('pod', broken)).rejects.toThrow(/no such file/);
    expect(await s.uvmSh('ls /run/gcs/c 2>/dev/null || :')).toBe('');
    const refused = { args: 'true', annotations: sandboxType, hostname: 'two\nlines' };
    await expect(s.create('pod', refused)).rejects.toThrow(
      invalidArgument('OciSpecification.hostname'),
    );
    const limits = { cpu: { cpus: '4096' } };
    await expect(
      s.create('pod', { args: 'true', annotations: sandboxType, resources: limits }),
    ).rejects.toThrow(invalidArgument('OciSpecification.linux.resources.cpu.cpus'));
    const init = await startSandbox(s, 'pod');
    await s.killAndDelete('pod', init);
  }));

test('huge pages are mounted with their size', () =>
  withSession(async (s) => {
    const init = await startSandbox(s, 'pod');
    const mounts = [bind('hugepages://2M/h', '/h')];
    const script = 'grep " /h " /proc/mounts';
    expect(await runInPod(s, 'pod', 'w', script, { mounts })).toMatch(/hugetlbfs .*pagesize=2M/);
    expect(await runInPod(s, 'pod', 'w2', script, { mounts })).toMatch(/pagesize=2M/);
    await s.killAndDelete('pod', init);
  }));
