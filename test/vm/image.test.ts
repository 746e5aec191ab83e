/** "gcsctl run --image": images in the VM, as a person runs them. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  watch,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { VmDirectory } from '../../src/vm/directory.ts';
import { QmpClient } from '../../src/vm/qmp.ts';
import type { Counts } from '../support/census.ts';
import { assertNothingLeftInGuest, takeGuestCensus } from '../support/guest-census.ts';
import {
  dockerSave,
  dockerSaveOci,
  ociLayout,
  type TestImage,
  type TestLayer,
  writeArchive,
  writeDirectory,
} from '../support/image/forms.ts';
import { type TarItem, tar } from '../support/image/tar.ts';
import {
  baseLayer,
  ended,
  expectedTree,
  gcsctl,
  manyLayers,
  pack,
  startGcsctl,
} from '../support/image/vm-image.ts';
import { testVm } from '../support/suite.ts';
import { inGuest } from '../support/vm-agent.ts';

const vm = testVm ?? expect.unreachable('these tests need a VM');
const shell = (script: string): Promise<string> => inGuest(vm, script);

let directory: string;
let base: TestLayer;
let baseItems: TarItem[];
let before: Counts;
const cache = (): string => join(directory, 'cache');
const run = (...args: string[]) => gcsctl(vm, 'run', '--cache-dir', cache(), ...args);

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'gcs-vm-image-'));
  baseItems = baseLayer(directory);
  base = { tar: tar(baseItems), packing: 'gzip' };
  before = await takeGuestCensus(shell);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** What a run has taken is given back: by the guest, by QEMU and on the host's disk. */
afterEach(async () => {
  // Persistent memory that other tests have plugged in stays for the life of the VM.
  const devices = await shell(
    `ls /sys/block | grep -v -e ^vda -e ^loop -e ^pmem; ls /sys/bus/scsi/devices | grep :
     ls /run/mounts /run/gcsctl 2>/dev/null; grep -e overlay -e ^/dev/dm /proc/mounts; true`,
  );
  expect(devices).toBe('');
  await assertNothingLeftInGuest(before, shell);
  expect(await ofQemu()).toEqual([]);
  if (existsSync(cache())) {
    expect(readdirSync(cache())).toEqual(['v2']);
    expect(readdirSync(join(cache(), 'v2')).filter((name) => !name.startsWith('sha256-'))).toEqual(
      [],
    );
  }
});

/** Devices and block nodes of ours that QEMU has, and files of ours that it holds open. */
async function ofQemu(): Promise<string[]> {
  const socket = connect(join(vm, 'qmp'));
  const client = new QmpClient(socket);
  try {
    await client.negotiate();
    const devices = await client.execute('qom-list', { path: '/machine/peripheral' });
    const nodes = await client.execute('query-named-block-nodes');
    const named = [...(devices as { name: string }[]).map(({ name }) => name)];
    named.push(...(nodes as { 'node-name': string }[]).map((node) => node['node-name']));
    const pid = new VmDirectory(dirname(vm), basename(vm)).requireRunning().qemu?.pid ?? 0;
    const files = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    return [...named, ...files].filter(
      (name) => name.startsWith('gcsctl-') || name.startsWith(directory),
    );
  } finally {
    socket.destroy();
    await client.closed;
  }
}

const layout = (name: string, image: TestImage): string =>
  writeDirectory(join(directory, name), ociLayout([image]));

describe('the root of the container', () => {
  test('36 layers with everything tar has are exactly the tree they describe', async () => {
    const changes = manyLayers(35);
    const image = layout('many', { layers: [base, ...pack(changes)] });
    const made = await run('--image', image, '--', '/bin/list-tree', 'tree');
    expect(made, made.stderr).toMatchObject({ code: 0 });
    expect(made.stdout.trimEnd().split('\n').sort()).toEqual(expectedTree([baseItems, ...changes]));
    expect(made.stderr).toContain('layer  1/36 ');
    expect(made.stderr).toMatch(/36 layers on disks of \d+\.\d MiB: 36 made, 0 there already\n$/);
  });

  test('it can be written, and what was written is gone with it', async () => {
    const image = layout('written', { layers: [base], config: { WorkingDir: '/new/dir' } });
    const script = 'pwd; touch x /bin/y; ls; ls /bin/y; sh -c "exit 7"';
    const first = await run('--quiet', '--image', image, '--', '/bin/sh', '-c', script);
    expect(first).toEqual({ code: 7, stdout: '/new/dir\nx\n/bin/y\n', stderr: '' });
    const again = await run('--image', image, '--', '/bin/ls', '/new/dir', '/bin/y');
    expect(again).toMatchObject({ code: 1, stdout: '/new/dir:\n' });
    expect(again.stderr).toBe('ls: /bin/y: No such file or directory\n');
  });
});

describe('the process', () => {
  const config = {
    Entrypoint: ['/bin/sh', '-c'],
    Cmd: ['id; pwd; env; exit 3'],
    Env: ['PATH=/bin', 'A=image', 'B=image'],
    User: 'web',
    WorkingDir: '/etc',
  };
  const environment = (text: string): string[] =>
    text
      .split('\n')
      .filter((line) => /^[ABC]=/.test(line))
      .sort();

  test('is what the image says: entry point, command, environment, user, directory', async () => {
    const archive = join(directory, 'saved.tar');
    writeArchive(archive, dockerSave([{ layers: [base], config, name: 'web:1' }]));
    const { code, stdout, stderr } = await run('--image', archive);
    expect({ code, stderr }).toMatchObject({ code: 3 });
    expect(stdout).toContain('uid=1001(web) gid=1002(web) groups=1003(extra)\n/etc\n');
    expect(environment(stdout)).toEqual(['A=image', 'B=image']);
  });

  test('is what the command line says instead, and reads stdin', async () => {
    const archive = join(directory, 'saved-oci.tar');
    writeArchive(archive, dockerSaveOci({ layers: [base], config }));
    const options = ['-i', '-e', 'B=mine', '-e', 'C=mine', '-u', '7:extra', '-w', '/bin'];
    const child = startGcsctl(
      vm,
      ...['run', '--cache-dir', cache(), '--quiet', ...options, '--image', archive],
      'id; pwd; env; cat; echo problem >&2',
    );
    child.stdin?.end('from stdin\n');
    const { code, stdout, stderr } = await ended(child);
    expect({ code, stderr }).toEqual({ code: 0, stderr: 'problem\n' });
    expect(stdout).toMatch(/^uid=7 gid=1003\(extra\).*\n\/bin\n/);
    expect(stdout).toMatch(/from stdin\n$/);
    expect(environment(stdout)).toEqual(['A=image', 'B=mine', 'C=mine']);
  });
});

describe('failures leave nothing behind', () => {
  test('a layer that is not what its digest says is refused', async () => {
    const files = ociLayout([{ layers: [base, { tar: tar([{ path: 'x', data: 'original' }]) }] }]);
    for (const [path, bytes] of files) {
      const at = bytes.indexOf('original');
      if (at >= 0)
        files.set(
          path,
          Buffer.concat([bytes.subarray(0, at), Buffer.from('0'), bytes.subarray(at + 1)]),
        );
    }
    const image = writeDirectory(join(directory, 'corrupt'), files);
    const { code, stdout, stderr } = await run('--image', image, '--', '/bin/echo', 'x');
    expect({ code, stdout }).toEqual({ code: 125, stdout: '' });
    expect(stderr).toMatch(/layer [0-9a-f]{12} is sha256:.* not sha256:.*: it was changed\n$/);
  });

  test('a disk that was changed in the cache is an I/O error for who reads the block', async () => {
    const marker = 'content that nobody may change unseen';
    const items: TarItem[] = [{ path: 'data', data: marker.repeat(200) }];
    const image = layout('changed', { layers: [base, { tar: tar(items) }] });
    const cat = ['--quiet', '--image', image, '--', '/bin/cat', '/data'];
    expect(await run(...cat)).toMatchObject({ code: 0, stdout: marker.repeat(200) });
    const disk = diskWith(marker);
    const at = readFileSync(disk).indexOf(marker);
    const fd = openSync(disk, 'r+');
    writeSync(fd, 'C', at);
    closeSync(fd);
    const { code, stdout, stderr } = await run(...cat);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain('Input/output error');
  });

  test('a disk with another root digest is refused by the guest, after others were mounted', async () => {
    const marker = 'another root digest';
    const items: TarItem[] = [{ path: 'data', data: marker.repeat(200) }];
    const image = layout('digest', { layers: [base, { tar: tar(items) }] });
    const echo = ['--quiet', '--image', image, '--', '/bin/echo', 'x'];
    expect(await run(...echo)).toMatchObject({ code: 0 });
    const description = join(dirname(diskWith(marker)), 'layer.json');
    const json = readFileSync(description, 'utf8');
    writeFileSync(description, json.replace(/"rootDigest":"..../, '"rootDigest":"0000'));
    const { code, stderr } = await run(...echo);
    expect(code).toBe(125);
    expect(stderr).toContain('VerityInfo.RootDigest');
  });

  test('a program that is not there', async () => {
    const image = layout('none', { layers: [base] });
    const { code, stderr } = await run('--quiet', '--image', image, '--', '/no/such');
    expect({ code, stderr }).toMatchObject({
      code: 127,
      stderr: expect.stringContaining('/no/such'),
    });
  });

  test('an interrupt while disks are plugged in', async () => {
    const image = layout('early', { layers: [base, ...pack(manyLayers(12))] });
    await run('--quiet', '--image', image, '--', '/bin/echo');
    const watcher = watch(cache());
    const child = startGcsctl(
      vm,
      'run',
      '--cache-dir',
      cache(),
      '--image',
      image,
      '--',
      '/bin/sleep',
      '9',
    );
    // Its scratch disk appears: what follows is QEMU's part.
    await orEnd(child, once(watcher, 'change'));
    watcher.close();
    child.kill('SIGINT');
    expect(await ended(child)).toMatchObject({
      code: 130,
      stdout: '',
      stderr: expect.stringContaining('interrupted by SIGINT'),
    });
  });

  test('an interrupt while the container runs ends it, and a second one by force', async () => {
    const image = layout('late', { layers: [base] });
    const script = 'trap "echo asked" INT; echo up; while :; do sleep 0.1; done';
    const args = ['--cache-dir', cache(), '--image', image, '--', '/bin/sh', '-c', script];
    const child = startGcsctl(vm, 'run', ...args);
    const lines = child.stdout ?? expect.unreachable();
    const result = ended(child);
    await orEnd(child, once(lines, 'data'));
    child.kill('SIGINT');
    await orEnd(child, once(lines, 'data'));
    child.kill('SIGINT');
    expect(await result).toMatchObject({ code: 137 });
  });
});

/** What is waited for, unless gcsctl ends before. */
async function orEnd<T>(child: ChildProcess, event: Promise<T>): Promise<T> {
  const end = once(child, 'exit').then(([code]) => expect.unreachable(`it ended with ${code}`));
  end.catch(() => {}); // Later it may end.
  return await Promise.race([event, end]);
}

function diskWith(marker: string): string {
  const version = join(cache(), 'v2');
  const disks = readdirSync(version).map((name) => join(version, name, 'disk.erofs'));
  return disks.find((disk) => readFileSync(disk).includes(marker)) ?? expect.unreachable('no disk');
}
