import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parseMountInfo } from '../os/mountinfo.ts';
import {
  apartFromAgent,
  type Cgroup,
  cgroupMountsOf,
  locateCgroup,
  locateOwnCgroup,
  resolveCgroup,
} from './hierarchy.ts';

/** A mountinfo line for a cgroup file system. */
function mount(root: string, point: string, type: 'cgroup' | 'cgroup2', options = 'rw'): string {
  return `41 30 0:26 ${root} ${point} rw,nosuid shared:9 - ${type} cgroup ${options}`;
}

const v1Mounts = [
  '31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755',
  mount('/', '/sys/fs/cgroup/cpu,cpuacct', 'cgroup', 'rw,cpu,cpuacct'),
  mount('/', '/sys/fs/cgroup/memory', 'cgroup', 'rw,memory'),
  mount('/', '/sys/fs/cgroup/systemd', 'cgroup', 'rw,xattr,name=systemd'),
].join('\n');

const resolve = (membership: string, mountinfo: string) =>
  resolveCgroup(membership, cgroupMountsOf(parseMountInfo(mountinfo)));

describe('where a cgroup is', () => {
  test('v1: each controller in its hierarchy, co-mounted ones in the same directory', () => {
    const found = resolve('4:memory:/pods/a\n3:cpu,cpuacct:/pods/a\n1:name=systemd:/x\n', v1Mounts);
    expect(Object.fromEntries(found.controllers)).toEqual({
      memory: '/sys/fs/cgroup/memory/pods/a',
      cpu: '/sys/fs/cgroup/cpu,cpuacct/pods/a',
      cpuacct: '/sys/fs/cgroup/cpu,cpuacct/pods/a',
      'name=systemd': '/sys/fs/cgroup/systemd/x',
    });
    expect(found.unified).toBeUndefined();
  });

  test('v2: one directory', () => {
    const found = resolve('0::/pods/a\n', mount('/', '/sys/fs/cgroup', 'cgroup2'));
    expect(found).toEqual({ controllers: new Map(), unified: '/sys/fs/cgroup/pods/a' });
  });

  test('hybrid: both', () => {
    const mountinfo = `${v1Mounts}\n${mount('/', '/sys/fs/cgroup/unified', 'cgroup2')}`;
    const found = resolve('4:memory:/pods/a\n0::/pods/b\n', mountinfo);
    expect(found.controllers.get('memory')).toBe('/sys/fs/cgroup/memory/pods/a');
    expect(found.unified).toBe('/sys/fs/cgroup/unified/pods/b');
  });

  test('the root cgroup is the mount itself', () => {
    expect(resolve('0::/\n', mount('/', '/cg', 'cgroup2')).unified).toBe('/cg');
  });

  test('a mount of a part of the hierarchy: the path below its root', () => {
    const mountinfo = mount('/docker/c1', '/sys/fs/cgroup', 'cgroup2');
    expect(resolve('0::/docker/c1/pods/a\n', mountinfo).unified).toBe('/sys/fs/cgroup/pods/a');
    expect(resolve('0::/docker/c1\n', mountinfo).unified).toBe('/sys/fs/cgroup');
  });

  test('a cgroup outside every mount is not found', () => {
    const mountinfo = mount('/docker/c1', '/sys/fs/cgroup', 'cgroup2');
    expect(resolve('0::/docker/c10\n', mountinfo).unified).toBeUndefined();
    expect(resolve('0::/docker\n', mountinfo).unified).toBeUndefined();
    expect(resolve('7:freezer:/a\n', v1Mounts).controllers.size).toBe(0);
  });

  test('of two mounts the one that reaches the cgroup is taken', () => {
    const mountinfo = `${mount('/other', '/a', 'cgroup2')}\n${mount('/', '/b', 'cgroup2')}`;
    expect(resolve('0::/x\n', mountinfo).unified).toBe('/b/x');
  });

  test('cgroup namespaces: what lies above the namespace has no name', () => {
    const outside = mount('/..', '/sys/fs/cgroup', 'cgroup2');
    expect(resolve('0::/a\n', outside).unified).toBeUndefined();
    expect(resolve('0::/../b\n', outside).unified).toBe('/sys/fs/cgroup/b');
    expect(resolve('0::/../b\n', mount('/', '/cg', 'cgroup2')).unified).toBeUndefined();
  });

  test('a deleted cgroup keeps its name, a path may hold colons and spaces', () => {
    const mountinfo = mount('/', '/sys/fs/my\\040cgroup', 'cgroup2');
    expect(resolve('0::/a:b c (deleted)\n', mountinfo).unified).toBe('/sys/fs/my cgroup/a:b c');
  });

  test('optional mount fields do not shift the others', () => {
    const line = '41 30 0:26 / /cg rw shared:9 master:2 propagate_from:1 - cgroup2 cgroup rw';
    expect(cgroupMountsOf(parseMountInfo(line))).toEqual([
      { version: 2, root: '/', mountPoint: '/cg', options: ['rw'] },
    ]);
  });
});

describe('the cgroup of a process', () => {
  test('of this one: directories that exist', () => {
    const found = locateCgroup(process.pid);
    const directories = [...(found?.controllers.values() ?? []), found?.unified].filter(
      (path) => path !== undefined,
    );
    expect(directories).not.toEqual([]);
    for (const path of directories) expect(statSync(path).isDirectory(), path).toBe(true);
  });

  test('of a zombie: none, since the kernel shows it in the root cgroup', async () => {
    // Perl, because it never waits unless told to: a shell may collect its child before it is looked at.
    const script =
      '$| = 1; my $child = fork // die; exit 0 unless $child; print "$child\\n"; sleep 1000';
    const parent = spawn('perl', ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    onTestFinished(async () => {
      parent.kill('SIGKILL');
      await once(parent, 'exit');
    });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const child = Number(line.toString());
    while (!/\) Z /.test(readFileSync(`/proc/${child}/stat`, 'latin1'))) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(locateCgroup(child)).toBeUndefined();
  });

  test('of a pid nobody has: none', () => {
    expect(locateCgroup(0x7fffffff)).toBeUndefined();
  });
});

describe('the cgroup of a container', () => {
  const own = locateCgroup(process.pid) as Cgroup;
  /** The same in every hierarchy, elsewhere. */
  const elsewhere = (change: (directory: string) => string): Cgroup => ({
    controllers: new Map([...own.controllers].map(([name, path]) => [name, change(path)])),
    unified: own.unified === undefined ? undefined : change(own.unified),
  });

  test('is never that of the agent, nor one above it, nor the root', () => {
    expect(locateOwnCgroup(process.pid)).toBeUndefined();
    expect(apartFromAgent(own)).toBeUndefined();
    expect(apartFromAgent(elsewhere(dirname))).toBeUndefined();
    const roots = cgroupMountsOf(parseMountInfo(readFileSync('/proc/self/mountinfo', 'latin1')));
    for (const { version, mountPoint } of roots) {
      const root: Cgroup =
        version === 1
          ? { controllers: new Map([['memory', mountPoint]]), unified: undefined }
          : { controllers: new Map(), unified: mountPoint };
      expect(apartFromAgent(root), mountPoint).toBeUndefined();
    }
  });

  test('is one below it or beside it, also one whose name only begins like its own', () => {
    for (const change of [(path: string) => `${path}/below`, (path: string) => `${path}-beside`]) {
      expect(apartFromAgent(elsewhere(change))).toEqual(elsewhere(change));
    }
  });

  test('is what is its own where it shares only some hierarchies with the agent', () => {
    const controllers = new Map([
      ['freezer', '/cg/freezer/pods/a'],
      ...(own.controllers.size > 0 ? [...own.controllers].slice(0, 1) : []),
    ]);
    const cgroup = apartFromAgent({ controllers, unified: own.unified });
    expect(cgroup).toEqual({
      controllers: new Map([['freezer', '/cg/freezer/pods/a']]),
      unified: undefined,
    });
  });
});
