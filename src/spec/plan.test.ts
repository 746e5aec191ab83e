import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { annotation } from './annotations.ts';
import type { OciSpec } from './oci.ts';
import { type PlanContext, planContainer } from './plan.ts';

const context: PlanContext = { id: 'c1', bundle: '/run/gcs/c/c1', hostname: 'vm.example.org' };

const specWith = (fields: OciSpec = {}): OciSpec => ({
  process: { args: ['sh'], cwd: '/' },
  root: { path: '/run/gcs/c/c1/rootfs' },
  linux: { namespaces: [{ type: 'pid' }, { type: 'network' }], resources: {} },
  ...fields,
});

const sandbox = { [annotation.containerType]: 'sandbox' };
const workload = { [annotation.containerType]: 'container', [annotation.sandboxId]: 'pod1' };
const inPod: PlanContext = {
  ...context,
  pod: (id) => (id === 'pod1' ? { directory: '/run/gcs/c/pod1', hostNetwork: false } : undefined),
};

const contentOf = (files: readonly { path: string; content: string }[], name: string) =>
  files.find(({ path }) => path === `/run/gcs/c/c1/${name}`)?.content;

/** A root directory with a user database in which app is 500:600. */
function makeRoot(): string {
  const root = mkdtempSync(join(tmpdir(), 'gcs-plan-'));
  onTestFinished(() => rmSync(root, { recursive: true }));
  mkdirSync(join(root, 'etc'));
  writeFileSync(join(root, 'etc/passwd'), 'app:x:500:600::/:/bin/sh\n');
  return root;
}

describe('a standalone container', () => {
  test('gets its network files bound over those of its image', async () => {
    const { kind, spec, files } = await planContainer(specWith(), context);
    expect(kind).toEqual({ kind: 'standalone' });
    expect(spec.mounts).toEqual(
      ['hostname', 'hosts', 'resolv.conf'].map((name) => ({
        destination: `/etc/${name}`,
        type: 'bind',
        source: `/run/gcs/c/c1/${name}`,
        options: ['bind'],
      })),
    );
    expect(contentOf(files, 'hostname')).toBe('vm.example.org\n');
    expect(contentOf(files, 'resolv.conf')).toBe('');
    expect(contentOf(files, 'hosts')?.split('\n').slice(0, 3)).toEqual([
      '127.0.0.1 localhost',
      '127.0.0.1 vm.example.org vm',
      '',
    ]);
  });

  test('has the host name of its spec, and the VM keeps that of its own out of it', async () => {
    const { spec, files } = await planContainer(specWith({ hostname: 'box' }), context);
    expect(spec.hostname).toBe('box');
    expect(contentOf(files, 'hostname')).toBe('box\n');
    expect(contentOf(files, 'hosts')).toMatch(/^127\.0\.0\.1 box$/m);
    expect((await planContainer(specWith(), context)).spec).not.toHaveProperty('hostname');
  });

  test('with a read-only root gets them read-only', async () => {
    const root = { path: '/r', readonly: true };
    const { spec } = await planContainer(specWith({ root }), context);
    expect(spec.mounts?.map(({ options }) => options)).toEqual(Array(3).fill(['bind', 'ro']));
  });

  test('keeps the files it mounts itself, however the path is written', async () => {
    const own = [
      { destination: '/etc//hosts/', source: '/x' },
      { destination: '/etc/resolv.conf' },
    ];
    const { spec, files } = await planContainer(specWith({ mounts: own }), context);
    expect(spec.mounts?.map(({ destination }) => destination)).toEqual([
      '/etc//hosts/',
      '/etc/resolv.conf',
      '/etc/hostname',
    ]);
    expect(files.map(({ path }) => path)).toEqual(['/run/gcs/c/c1/hostname']);
  });

  test('has its cgroup below /pods, whatever the host asked for', async () => {
    const linux = { cgroupsPath: '/elsewhere', sysctl: { a: '1' } };
    const { spec } = await planContainer(specWith({ linux }), context);
    expect(spec.linux).toEqual({ cgroupsPath: '/pods/c1', sysctl: { a: '1' } });
  });

  test('loses the section for Windows and keeps every other field', async () => {
    const { spec } = await planContainer(specWith({ windows: {}, hooks: {}, vendor: 1n }), context);
    expect(spec).not.toHaveProperty('windows');
    expect(spec).toMatchObject({ hooks: {}, vendor: 1n });
  });

  test('keeps the user it names unresolved', async () => {
    const user = { username: 'app' };
    const process = { args: ['sh'], user };
    const root = { path: makeRoot() };
    const { spec } = await planContainer(specWith({ process, root }), context);
    expect(spec.process?.user).toEqual(user);
  });

  test('resolves names with the adapters of its network, each once', async () => {
    const dns = {
      searches: ['a.example', ' A.example'],
      servers: ['10.0.0.1', 'fe80::1', '10.0.0.1'],
    };
    const { files } = await planContainer(specWith(), { ...context, dns });
    expect(contentOf(files, 'resolv.conf')).toBe(
      'search a.example\nnameserver 10.0.0.1\nnameserver fe80::1\n',
    );
  });

  test.each([
    [
      'more than six search domains',
      { searches: ['1', '2', '3', '4', '5', '6', '7'], servers: [] },
    ],
    ['a server that would be a line of its own', { searches: [], servers: ['1.1.1.1\noptions x'] }],
  ])('refuses %s', async (_, dns) => {
    await expect(planContainer(specWith(), { ...context, dns })).rejects.toMatchObject({
      code: 'invalid-argument',
    });
  });

  test.each([
    'a b',
    'a\n127.0.0.1 evil',
    'ä',
    'x'.repeat(65),
    'a/b',
  ])('refuses the host name %j', async (hostname) => {
    await expect(planContainer(specWith({ hostname }), context)).rejects.toMatchObject({
      code: 'invalid-argument',
      field: 'OciSpecification.hostname',
    });
  });

  test('shares the network of the VM when the annotation says so', async () => {
    const annotations = { [annotation.hostNetwork]: 'True' };
    const { spec } = await planContainer(specWith({ annotations }), context);
    expect(spec.linux?.namespaces).toEqual([{ type: 'pid' }]);
    const plain = await planContainer(specWith(), context);
    expect(plain.spec.linux?.namespaces).toHaveLength(2);
  });

  test('warns of an annotation that is no boolean', async () => {
    const warn = vi.fn();
    const annotations = { [annotation.hostNetwork]: 'ja' };
    const { spec } = await planContainer(specWith({ annotations }), { ...context, warn });
    expect(spec.linux?.namespaces).toHaveLength(2);
    expect(warn).toHaveBeenCalledOnce();
  });

  test('has its relative root made absolute', async () => {
    const { spec } = await planContainer(specWith({ root: { path: 'rootfs' } }), context);
    expect(spec.root?.path).toBe('/run/gcs/c/c1/rootfs');
  });

  test('leaves the spec of the host as it was', async () => {
    const spec = specWith({ mounts: [{ destination: '/data' }], windows: {} });
    const before = structuredClone(spec);
    await planContainer(spec, context);
    expect(spec).toEqual(before);
  });
});

describe('a sandbox', () => {
  test('has the network files written for its pod, not mounted', async () => {
    const { spec, files } = await planContainer(specWith({ annotations: sandbox }), context);
    expect(spec.mounts).toBeUndefined();
    expect(files.map(({ path }) => path)).toEqual([
      '/run/gcs/c/c1/hostname',
      '/run/gcs/c/c1/hosts',
      '/run/gcs/c/c1/resolv.conf',
    ]);
  });

  test('has its cgroup in that of its pod', async () => {
    const own = await planContainer(specWith({ annotations: sandbox }), context);
    expect(own.spec.linux?.cgroupsPath).toBe('/pods/c1/c1');
    const annotations = { ...sandbox, [annotation.virtualPodId]: 'vp' };
    const virtual = await planContainer(specWith({ annotations }), context);
    expect(virtual.spec.linux?.cgroupsPath).toBe('/pods/vp/c1');
  });

  test('runs as the user it names; the name stays for execs', async () => {
    const spec = specWith({
      annotations: sandbox,
      process: { args: ['sh'], user: { username: 'app', additionalGids: [7] } },
      root: { path: makeRoot() },
    });
    const plan = await planContainer(spec, context);
    expect(plan.spec.process?.user).toEqual({
      username: 'app',
      uid: 500,
      gid: 600,
      additionalGids: [7],
    });
  });

  test('an unknown user is refused with the field named', async () => {
    const spec = specWith({
      annotations: sandbox,
      process: { args: ['sh'], user: { username: 'nobody' } },
      root: { path: makeRoot() },
    });
    await expect(planContainer(spec, context)).rejects.toMatchObject({
      code: 'invalid-argument',
      field: 'OciSpecification.process.user.username',
    });
  });

  test('dumps core up to the limit of the annotation, which replaces its own', async () => {
    const annotations = { ...sandbox, [annotation.rlimitCore]: '0;18446744073709551615' };
    const rlimits = [
      { type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 },
      { type: 'RLIMIT_CORE', hard: 1, soft: 1 },
    ];
    const spec = specWith({ annotations, process: { args: ['sh'], rlimits } });
    expect((await planContainer(spec, context)).spec.process?.rlimits).toEqual([
      { type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 },
      { type: 'RLIMIT_CORE', hard: 18446744073709551615n, soft: 0n },
    ]);
  });

  test.each([
    '1',
    '1;2;3',
    'a;b',
    '-1;2',
    '1;',
    '2;1',
    '0;18446744073709551616',
  ])('refuses the core limit %j', async (value) => {
    const annotations = { ...sandbox, [annotation.rlimitCore]: value };
    await expect(planContainer(specWith({ annotations }), context)).rejects.toMatchObject({
      code: 'invalid-argument',
      field: `OciSpecification.annotations.${annotation.rlimitCore}`,
    });
  });
});

describe('a workload', () => {
  const plan = (fields: OciSpec = {}, annotations: Record<string, string> = {}) =>
    planContainer(specWith({ ...fields, annotations: { ...workload, ...annotations } }), inPod);

  test('sees the network files of its sandbox', async () => {
    const { kind, spec, files } = await plan({ mounts: [{ destination: '/etc/hosts' }] });
    expect(kind).toEqual({ kind: 'workload', sandboxId: 'pod1' });
    expect(files).toEqual([]);
    expect(spec.mounts?.map(({ destination, source }) => [destination, source])).toEqual([
      ['/etc/hosts', undefined],
      ['/etc/hostname', '/run/gcs/c/pod1/hostname'],
      ['/etc/resolv.conf', '/run/gcs/c/pod1/resolv.conf'],
    ]);
    expect(spec.linux?.cgroupsPath).toBe('/pods/pod1/c1');
  });

  test('must not name its host, in the words hosts know', async () => {
    await expect(plan({ hostname: 'mine' })).rejects.toThrow(
      /^workload container must not change hostname: mine$/,
    );
  });

  test('must belong to a sandbox that is there', async () => {
    await expect(plan({}, { [annotation.sandboxId]: 'pod2' })).rejects.toThrow(/no sandbox 'pod2'/);
  });

  test('gets shared memory of the size in the annotation', async () => {
    const mounts = [{ destination: '/dev/shm', type: 'bind' }, { destination: '/dev/shm/' }];
    const { spec } = await plan({ mounts }, { [annotation.shmSizeKb]: '1024' });
    expect(spec.mounts?.filter(({ destination }) => destination.startsWith('/dev/shm'))).toEqual([
      {
        destination: '/dev/shm',
        type: 'tmpfs',
        source: 'shm',
        options: ['nosuid', 'noexec', 'nodev', 'mode=1777', 'size=1024k'],
      },
    ]);
  });

  test.each([
    '',
    '0',
    '00',
    '-1',
    '1.5',
    '64k',
    '9007199254740992',
    '18446744073709551616',
  ])('refuses the shared memory size %j', async (value) => {
    await expect(plan({}, { [annotation.shmSizeKb]: value })).rejects.toMatchObject({
      code: 'invalid-argument',
      field: `OciSpecification.annotations.${annotation.shmSizeKb}`,
    });
  });

  test('shares the network of the VM when its sandbox does', async () => {
    const pod = () => ({ directory: '/run/gcs/c/pod1', hostNetwork: true });
    const { spec } = await planContainer(specWith({ annotations: workload }), { ...context, pod });
    expect(spec.linux?.namespaces).toEqual([{ type: 'pid' }]);
  });

  test('gets the devices it names as they are in the VM, and may use them', async () => {
    const device = { path: '/dev/null', type: 'b', major: 99, minor: 99 };
    const linux = { devices: [device], resources: { memory: { limit: 1 } } };
    const { spec } = await plan({ linux });
    expect(spec.linux?.devices).toEqual([
      { path: '/dev/null', type: 'c', major: 1, minor: 3, uid: 0, gid: 0 },
    ]);
    expect(spec.linux?.resources).toEqual({
      memory: { limit: 1 },
      devices: [{ allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' }],
    });
  });

  test.each(['/dev/none', '/etc/passwd', '/dev/fd'])('refuses the device %s', async (path) => {
    const devices = [{ path: '/dev/null' }, { path }];
    await expect(plan({ linux: { devices } })).rejects.toMatchObject({
      code: 'invalid-argument',
      field: 'OciSpecification.linux.devices[1].path',
    });
  });

  test('when it is privileged, gets every device of the VM and may use them all', async () => {
    const devices = [
      { path: '/dev/null', type: 'b', major: 9, minor: 9 },
      { path: '/x', type: 'c' },
    ];
    const { spec } = await plan({ linux: { devices } }, { [annotation.privileged]: 'true' });
    const given = spec.linux?.devices as { path: string; major: number }[];
    const paths = given.map(({ path }) => path);
    expect(paths).toEqual(expect.arrayContaining(['/dev/null', '/dev/full', '/dev/zero', '/x']));
    expect(new Set(paths).size).toBe(paths.length);
    expect(given.find(({ path }) => path === '/dev/null')?.major).toBe(1);
    expect(paths.some((path) => path.startsWith('/dev/pts/'))).toBe(false);
    expect(spec.linux?.resources?.devices).toEqual([{ allow: true, access: 'rwm' }]);
  });

  test.each([
    ['a GPU', { windows: { devices: [{ id: 'x', idType: 'gpu' }] } }, {}],
    ['capabilities of a GPU', {}, { [annotation.gpuCapabilities]: 'utility' }],
  ])('is not run without the driver of %s it asks for', async (_, fields, annotations) => {
    await expect(plan(fields, annotations)).rejects.toThrow(/no GPU driver: nvidia-container-cli/);
    await expect(plan(fields, annotations)).rejects.toMatchObject({ code: 'not-supported' });
  });

  test('passes seccomp and hooks as they are given', async () => {
    const seccomp = { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['reboot'] }] };
    const hooks = { prestart: [{ path: '/bin/true' }] };
    const { spec } = await plan({ hooks, linux: { seccomp } });
    expect(spec.linux?.seccomp).toEqual(seccomp);
    expect(spec.hooks).toEqual(hooks);
  });
});

describe('the log of a pod', () => {
  const { teeLogPath, teeLogDirMount } = annotation;
  test('is below the directory of the pod, and mounted where the annotation says', async () => {
    const annotations = { [teeLogPath]: 'dir//a.log', [teeLogDirMount]: 'var/logs/' };
    const { spec, log } = await planContainer(
      specWith({ annotations: { ...workload, ...annotations } }),
      inPod,
    );
    expect(log).toMatchObject({ directory: '/run/gcs/c/pod1/logs', path: 'dir/a.log' });
    expect(spec.mounts?.at(-1)).toEqual({
      destination: '/var/logs',
      type: 'bind',
      source: '/run/gcs/c/pod1/logs',
      options: ['bind'],
    });
    const alone = await planContainer(specWith({ annotations }), context);
    expect(alone.log?.directory).toBe('/run/gcs/c/c1/logs');
    const virtual = { ...sandbox, ...annotations, [annotation.virtualPodId]: 'vp' };
    const pod = await planContainer(specWith({ annotations: virtual }), context);
    expect(pod.log?.directory).toBe('/run/gcs/c/virtual-pods/vp/logs');
    expect(pod.files.map(({ path }) => path)).toContain('/run/gcs/c/virtual-pods/vp/hosts');
  });

  test.each([
    [teeLogPath, '../x'],
    [teeLogPath, 'a/../../x'],
    [teeLogPath, '/'],
    [teeLogPath, 'a/'],
    [teeLogPath, 'x'.repeat(256)],
    [teeLogPath, 'x/'.repeat(2000)],
    [teeLogDirMount, '../x'],
    [teeLogDirMount, '/'],
  ])('refuses %s: %s', async (name, value) => {
    const annotations = { ...workload, [name]: value };
    await expect(planContainer(specWith({ annotations }), inPod)).rejects.toMatchObject({
      code: 'invalid-argument',
      field: `OciSpecification.annotations.${name}`,
    });
  });
});

describe('policy documents', () => {
  const policyDocuments = [{ name: 'security-policy-base64', content: 'x' }];

  test('are offered in a directory the environment names', async () => {
    const { spec, securityContext } = await planContainer(specWith(), {
      ...context,
      policyDocuments,
    });
    const [, name = ''] =
      /^UVM_SECURITY_CONTEXT_DIR=\/(.+)$/.exec(spec.process?.env?.[0] ?? '') ?? [];
    expect(name).toMatch(/^security-context-\w+$/);
    expect(securityContext).toEqual({
      directory: `/run/gcs/c/c1/rootfs/${name}`,
      documents: policyDocuments,
    });
  });

  test('are neither offered when there are none nor to who declines them', async () => {
    expect((await planContainer(specWith(), context)).securityContext).toBeUndefined();
    const annotations = { [annotation.securityPolicyEnv]: 'false' };
    const plan = await planContainer(specWith({ annotations }), { ...context, policyDocuments });
    expect(plan.securityContext).toBeUndefined();
    expect(plan.spec.process?.env).toBeUndefined();
  });
});
