import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { OciMount } from './oci.ts';
import { planPodMounts, podDirectoryOf, refusePodMounts } from './pod-mounts.ts';

const pod = '/run/gcs/c/pod1';
const bundle = '/run/gcs/c/c1';
const plan = (...mounts: OciMount[]) => planPodMounts({ mounts }, pod, bundle);

function temporary(): string {
  const directory = mkdtempSync(join(tmpdir(), 'gcs-pod-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

const refusal = (field: string) => expect.objectContaining({ code: 'invalid-argument', field });

test('a pod has the directory of its sandbox, one of several one beside it', () => {
  expect(podDirectoryOf({ podId: 'p', virtual: false }, '/run/gcs/c/p')).toBe('/run/gcs/c/p');
  expect(podDirectoryOf({ podId: 'v', virtual: true }, '/run/gcs/c/p')).toBe(
    '/run/gcs/c/virtual-pods/v',
  );
});

test('sources of the pod are pinned, each below its own root', () => {
  const { spec, sources } = plan(
    { destination: '/a', source: 'sandbox:///a//b/', options: ['rbind'] },
    { destination: '/proc', type: 'proc', source: 'proc' },
    { destination: '/t', source: 'sandbox-tmp://t' },
    { destination: '/h', source: 'hugepages://2M/h' },
    { destination: '/all', source: 'sandbox://' },
  );
  expect(sources).toEqual([
    expect.objectContaining({ root: `${pod}/sandboxMounts`, path: 'a/b' }),
    expect.objectContaining({ root: `${pod}/sandboxTmpfsMounts`, path: 't' }),
    expect.objectContaining({ root: `${pod}/hugepages`, path: '2M/h', pageSize: '2M' }),
    expect.objectContaining({ root: `${pod}/sandboxMounts`, path: '' }),
  ]);
  expect(spec.mounts?.map(({ source }) => source)).toEqual([
    sources[0]?.pinned,
    'proc',
    sources[1]?.pinned,
    sources[2]?.pinned,
    sources[3]?.pinned,
  ]);
  expect(spec.mounts?.[0]?.options).toEqual(['rbind']);
  expect(new Set(sources.map(({ pinned }) => pinned)).size).toBe(4);
});

test.each([
  'sandbox://../x',
  'sandbox://a/../b',
  'sandbox-tmp://..',
  'hugepages://2M/../../x',
  'hugepages://',
  'hugepages://3M/x',
  'hugepages://-2M/x',
  'uvm://../etc',
  'uvm:///no/such/path',
  `sandbox://${'x'.repeat(256)}`,
  `sandbox://${'x/'.repeat(3000)}`,
])('refuses the source %s and names it', (source) => {
  const other = { destination: '/o' };
  expect(() => plan(other, { destination: '/a', source })).toThrow(
    refusal('OciSpecification.mounts[1].source'),
  );
});

test('a path of the VM is mounted as it is when it exists', () => {
  const { spec, sources } = plan({ destination: '/a', source: 'uvm://etc/passwd' });
  expect(spec.mounts).toEqual([{ destination: '/a', source: '/etc/passwd' }]);
  expect(sources).toEqual([]);
});

describe('a block device', () => {
  /** A node of a block device that need not exist, and a link to it. */
  function makeDevice(): { node: string; link: string } {
    const directory = temporary();
    const node = join(directory, 'node');
    const link = join(directory, 'link');
    execFileSync('mknod', [node, 'b', '259', '70000']);
    symlinkSync(node, link);
    return { node, link };
  }

  test.each([
    ['rwm', ['rbind']],
    ['r', ['rbind', 'ro']],
  ])('behind a link is mounted and may be used: %s', (access, options) => {
    const { node, link } = makeDevice();
    const { spec } = plan({ destination: 'blockdev:///dev/x', source: link, options });
    expect(spec.mounts).toEqual([{ destination: '/dev/x', source: node, options }]);
    expect(spec.linux?.resources?.devices).toEqual([
      { allow: true, type: 'b', major: 259, minor: 70_000, access },
    ]);
  });

  test('must be one', () => {
    const directory = temporary();
    const file = join(directory, 'file');
    writeFileSync(file, '');
    for (const source of [file, '/dev/null', join(directory, 'none'), 'relative', '']) {
      expect(() => plan({ destination: 'blockdev:///x', source })).toThrow(
        refusal('OciSpecification.mounts[0].source'),
      );
    }
    const { link } = makeDevice();
    for (const destination of ['blockdev://', 'blockdev:///a/../../b']) {
      expect(() => plan({ destination, source: link })).toThrow(
        refusal('OciSpecification.mounts[0].destination'),
      );
    }
  });
});

test('outside of a pod there are no such mounts', () => {
  for (const source of ['sandbox://a', 'sandbox-tmp://a', 'hugepages://2M/a', 'uvm://etc']) {
    expect(() => refusePodMounts({ mounts: [{ destination: '/a', source }] })).toThrow(
      refusal('OciSpecification.mounts[0].source'),
    );
  }
  expect(() => refusePodMounts({ mounts: [{ destination: 'blockdev:///a' }] })).toThrow(
    refusal('OciSpecification.mounts[0].destination'),
  );
  refusePodMounts({ mounts: [{ destination: '/a', source: '/b' }] });
});
